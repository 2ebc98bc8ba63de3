"""Runs `python -m samjax.cli`, the same as `samjax`."""

import sys

from samjax.cli import main

sys.exit(main())
