"""How maps of a network are compared with those of another one, or of another target, until the numbers settle."""
