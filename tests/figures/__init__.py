"""Scripts that show on real digits what the explainers and perturbations do, with pictures."""
