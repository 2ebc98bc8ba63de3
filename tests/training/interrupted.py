"""Runs `train.py` and sends it a signal, a real one, when it asks for a certain batch.

python interrupted.py SIGNAL BATCH FLAG...
"""

import os
import runpy
import signal
import sys

from samjax.training import sharding

number, batch = signal.Signals[sys.argv[1]], int(sys.argv[2])
place_batch, placed = sharding.place_batch, 0


def place_and_signal(*arguments):
    global placed
    placed += 1
    if placed == batch:
        os.kill(os.getpid(), number)
    return place_batch(*arguments)


sharding.place_batch = place_and_signal
sys.argv[:] = ["train.py", *sys.argv[3:]]
runpy.run_path("train.py", run_name="__main__")
