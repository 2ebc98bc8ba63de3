"""Training: groups of parameters, the nine-update step, the loop around it, checkpoints."""
