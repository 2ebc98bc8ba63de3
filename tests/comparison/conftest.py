"""Fixtures for all tests of comparisons."""

import logging

import pytest


@pytest.fixture(autouse=True, scope="module")
def log_handlers():
    """Restores the log handlers, as the program logs to the standard error of its start."""
    before, level = logging.root.handlers[:], logging.getLogger("samjax").level
    yield
    logging.root.handlers[:] = before
    logging.getLogger("samjax").setLevel(level)
