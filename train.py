"""Trains SAM-Med2D, or goes on with a run that was stopped.

python train.py                                        # the demo, no data needed
python train.py --config configs/sam_med2d.py --workdir runs/mine \
        --config.data.root=DATA --config.init_from=CHECKPOINT
"""

import contextlib
import functools
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from samjax import interruption, process
from samjax.training import experiment, loop


@contextlib.contextmanager
def fields_checked() -> Iterator[None]:
    """Ends with one line, which names the near matches, where the config has no such field."""
    try:
        yield
    except (AttributeError, KeyError) as error:
        reason: object = error
        while isinstance(reason, Exception):  # One wraps the other.
            reason = reason.args[0]
        sys.exit(f"train.py: no such field in the config: {reason}")


_ROOT = Path(__file__).parent
with fields_checked():
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
    absl_logging.set_verbosity(absl_logging.WARNING)  # Of libraries; ours are told below.
    process.prepare()
    samjax_log = logging.getLogger("samjax")
    samjax_log.setLevel(logging.INFO)
    samjax_log.addHandler(logging.StreamHandler())
    samjax_log.propagate = False
    recipe = Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem
    workdir = Path(_WORKDIR.value or Path("runs") / recipe)
    return interruption.exit_code("train.py", functools.partial(run, workdir))


def run(workdir: Path) -> None:
    """Trains as the config says, and tests."""
    settings = experiment.from_config_dict(_CONFIG.value)
    trained = loop.train(settings, workdir)
    if settings.run.report and settings.mesh.process_index == 0:
        print(f"{loop.test(settings, trained)}\n\nReport: {workdir / 'report'}")
        print(f"Picture: {workdir / 'report/overlays/median.png'}")


def parse_flags(argv: list[str]) -> list[str]:
    """Reads the command line."""
    with fields_checked():
        return app.parse_flags_with_usage(argv)


if __name__ == "__main__":
    process.restart_with_huge_pages()
    app.run(main, flags_parser=parse_flags)
