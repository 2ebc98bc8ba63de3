"""Trains SAM-Med2D, or goes on with a run that was stopped; the same as `samjax train`.

python train.py                                        # the demo, no data needed
python train.py --config configs/sam_med2d.py --workdir runs/mine \
        --config.data.root=DATA --config.init_from=CHECKPOINT
"""

import sys

from samjax import cli

if __name__ == "__main__":
    sys.exit(cli.run_alone("train", "train.py"))
