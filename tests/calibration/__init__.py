"""Scripts that print the numbers that thresholds were chosen by, and that the documentation quotes."""
