"""What every check does first and last: calls of the explainer, and tests of whether anything can be shown at all."""
