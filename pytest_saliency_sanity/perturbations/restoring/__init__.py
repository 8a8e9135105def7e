"""The model and the random streams of the caller, given back as they were."""
