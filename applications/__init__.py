"""Complete recipes, one per task: data, tokenizer, `fit`, metric, picture, export."""
