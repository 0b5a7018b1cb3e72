"""Data: readers, and the real sample material that comes with registry packages."""
