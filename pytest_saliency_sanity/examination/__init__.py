"""What every check does first and last: calling the explainer, and asking whether anything can be seen at all."""
