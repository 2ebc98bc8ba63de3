"""Trains SAM-Med2D, or goes on with a run that was stopped.

python train.py                                        # the demo, no data needed
python train.py --config configs/sam_med2d.py --workdir runs/mine \
        --config.data.root=DATA --config.init_from=CHECKPOINT
"""

import logging
import sys
from pathlib import Path

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from samjax.data.files import DataError
from samjax.training import experiment, interruption, loop

_ROOT = Path(__file__).parent
_CONFIG = config_flags.DEFINE_config_file(
    "config", str(_ROOT / "configs/demo.py"), "Recipe, see configs/.", lock_config=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run; the same command resumes it. Default: runs/RECIPE."
)


def main(argv: list[str]) -> int:
    """Trains and reports."""
    if len(argv) > 1:
        raise app.UsageError(f"expected only flags, found {argv[1]!r}")
    absl_logging.set_verbosity(absl_logging.WARNING)
    samjax_log = logging.getLogger("samjax")
    samjax_log.setLevel(logging.INFO)
    samjax_log.addHandler(logging.StreamHandler())
    samjax_log.propagate = False
    recipe = Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem
    workdir = Path(_WORKDIR.value or Path("runs") / recipe)
    try:
        settings = experiment.from_config_dict(_CONFIG.value)
        trained = loop.train(settings, workdir)
        if settings.run.report and settings.mesh.process_index == 0:
            print(f"{loop.test(settings, trained)}\n\nReport and pictures: {workdir / 'report'}")
    except interruption.Interrupted as stopped:
        print(stopped)
        return 143
    except (DataError, ValueError, FileNotFoundError, interruption.Diverged) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    app.run(main)
