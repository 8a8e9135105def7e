"""How much hiding what a map points at changes what the model says."""
