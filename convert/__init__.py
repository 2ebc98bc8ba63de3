"""`python -m convert`, from a checkout; the same as `samjax convert`."""
