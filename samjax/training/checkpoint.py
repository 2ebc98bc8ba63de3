"""Checkpoints of a run: everything that the next step depends on, so that it resumes exactly."""

import dataclasses
from pathlib import Path
from typing import Any

import grain
import jax
import orbax.checkpoint as ocp

from samjax.training.step import TrainState


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    """When a run is saved.

    Attributes:
        every: Batches between checkpoints; one is also made at the end, and when the run is told
            to stop (SIGTERM or Ctrl-C).
        keep: How many of the newest are kept.
    """

    every: int = 500
    keep: int = 2

    def __post_init__(self) -> None:
        for name in ("every", "keep"):
            if getattr(self, name) < 1:
                found = getattr(self, name)
                raise ValueError(f"checkpoint.{name}: expected 1 or more, found {found}")


@dataclasses.dataclass
class Progress:
    """What validation has shown so far.

    Attributes:
        best_dice: Best validation Dice; negative before the first validation.
        best_step: When that was.
        stale: Validations since.
    """

    best_dice: float = -1.0
    best_step: int = 0
    stale: int = 0


class Checkpoints:
    """The checkpoints of a run, in `WORKDIR/checkpoints`."""

    def __init__(self, workdir: str | Path, config: CheckpointConfig) -> None:
        """Opens the folder; it is made with the first checkpoint."""
        options = ocp.CheckpointManagerOptions(
            max_to_keep=config.keep,
            # On a CPU the arrays that a background thread would write are donated to the next
            # step while it reads them.
            enable_async_checkpointing=jax.default_backend() != "cpu",
        )
        self.folder = Path(workdir).absolute() / "checkpoints"
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    @property
    def latest(self) -> int | None:
        """Step of the newest checkpoint."""
        return self._manager.latest_step()

    def save(
        self,
        state: TrainState,
        batches: grain.DatasetIterator,
        progress: Progress,
        config: dict[str, Any],
    ) -> None:
        """Saves the run as it is after `state.step` batches; does nothing if that is saved."""
        step = int(state.step)
        if step == self.latest:
            return
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                batches=grain.checkpoint.CheckpointSave(batches),
                progress=ocp.args.JsonSave(dataclasses.asdict(progress)),
                config=ocp.args.JsonSave(config),
            ),
        )

    def restore(
        self, state: TrainState, batches: grain.DatasetIterator
    ) -> tuple[TrainState, Progress]:
        """Restores the newest checkpoint.

        Args:
            state: A state of the same shapes and shardings, which is replaced.
            batches: A fresh iterator over the same data, which is moved to the saved place.
        """
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
        restored = self._manager.restore(
            self.latest,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(target),
                batches=grain.checkpoint.CheckpointRestore(batches),
                progress=ocp.args.JsonRestore(),
            ),
        )
        return restored["state"], Progress(**restored["progress"])

    def close(self) -> None:
        """Waits until everything is written."""
        self._manager.wait_until_finished()
        self._manager.close()
