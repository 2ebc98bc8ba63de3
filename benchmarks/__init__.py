"""Measurements; each file is a command and says how it is run."""
