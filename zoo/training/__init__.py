"""What training needs beside Keras: optimizers and the compile policy."""
