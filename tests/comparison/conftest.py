"""Fixtures of all tests of comparisons."""

import logging

import pytest


@pytest.fixture(autouse=True, scope="module")
def log_handlers():
    """The program logs to standard error as it was when it started: not after these tests."""
    before, level = logging.root.handlers[:], logging.getLogger("samjax").level
    yield
    logging.root.handlers[:] = before
    logging.getLogger("samjax").setLevel(level)
