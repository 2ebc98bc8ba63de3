"""Measurements; those files that are commands say how they are run."""
