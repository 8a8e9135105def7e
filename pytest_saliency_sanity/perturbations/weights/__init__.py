"""The weights of a model: which ones it has, what depends on them, and how they are re-initialized."""
