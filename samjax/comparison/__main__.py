"""`python -m samjax.comparison`, which is `samjax compare`."""

import sys

from samjax import process
from samjax.comparison.cli import main

if __name__ == "__main__":
    process.restart_with_huge_pages()
    sys.exit(main())
