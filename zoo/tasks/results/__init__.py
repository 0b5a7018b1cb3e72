"""What is shown of a run: scores of texts, pictures, marked-up pages, files."""
