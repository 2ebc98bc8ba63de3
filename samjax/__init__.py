"""samjax: SAM-Med2D, promptable segmentation of 2D medical images, in JAX."""

__version__ = "0.1.0"
