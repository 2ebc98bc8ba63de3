"""Runs the converter."""

import sys

from samjax.conversion import cli

sys.exit(cli.main())
