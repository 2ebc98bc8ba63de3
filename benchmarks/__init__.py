"""Benchmarks; each file that is a command has its usage in its docstring."""
