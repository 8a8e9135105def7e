"""How the maps of a network are compared with those of another network or target, until the result is clear."""
