"""The caller's model and random streams, restored after use."""
