"""Reads images and masks and prepares them for the network, with NumPy and OpenCV, without JAX."""
