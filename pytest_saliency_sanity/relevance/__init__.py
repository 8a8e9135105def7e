"""How much the model's output changes when the pixels that a map points at are hidden."""
