"""Images and masks on their way into the network: NumPy and OpenCV only, no JAX."""
