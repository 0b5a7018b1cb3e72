"""What tasks answer: spans, entities and vectors, out of the outputs of models."""
