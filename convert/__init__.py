"""`python -m convert`, from a checkout; the work is done in `samjax.conversion`."""
