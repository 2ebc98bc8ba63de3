"""Runs the converter."""

import sys

from samjax import cli

sys.exit(cli.run_alone("convert", "python -m convert"))
