"""Runs the converter."""

import sys

from samjax import interruption
from samjax.conversion import cli

sys.exit(interruption.exit_code("convert", cli.main))
