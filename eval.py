"""Evaluates a model by the protocols of the SAM-Med2D paper; the same as `samjax evaluate`.

python eval.py --checkpoint runs/demo/best --data runs/demo/phantoms --out runs/demo/test
"""

import sys

from samjax import cli

if __name__ == "__main__":
    sys.exit(cli.run_alone("evaluate", "eval.py"))
