"""Complete recipes, one per task: data, tokenizer, `fit`, metric, picture, export."""

import zoo  # noqa: F401  first, because it settles what Keras and TensorFlow read
