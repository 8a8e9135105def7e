"""The weights of a model: which there are, what depends on them, and how they are drawn anew."""
