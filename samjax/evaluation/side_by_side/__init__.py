"""Comparison of reports of the same masks: `samjax compare reports`."""
