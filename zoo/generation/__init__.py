"""Generation: one compiled loop, with strategies and processors as small functions."""
