"""Checkpoints of a run: all that the next step depends on, for exact resumption."""

import contextlib
import dataclasses
import logging
import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grain
import jax
import orbax.checkpoint as ocp

from samjax import digests, fields
from samjax.training.step import TrainState

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    """Intervals and number of checkpoints.

    Attributes:
        every: Batches between checkpoints; one is also made at the end, and on SIGTERM or Ctrl-C.
        keep: Number of checkpoints to keep, the newest.
        fallback: Whether to resume from the newest undamaged checkpoint if the newest is damaged.
    """

    every: fields.PositiveInt = 500
    keep: fields.PositiveInt = 2
    fallback: bool = False

    def __post_init__(self) -> None:
        fields.check(self)


@dataclasses.dataclass
class BestScore:
    """Best validation score so far.

    Attributes:
        best_dice: Best validation Dice; negative before the first validation.
        best_step: Step of that validation; 0 before the first.
        stale: Validations since then.
    """

    best_dice: float = -1.0
    best_step: int = 0
    stale: int = 0


class Checkpoints:
    """The checkpoints of a run, in `WORKDIR/checkpoints`."""

    def __init__(self, workdir: str | Path, config: CheckpointConfig) -> None:
        """Opens the folder; the first checkpoint creates it."""
        options = ocp.CheckpointManagerOptions(
            max_to_keep=config.keep,
            # On a CPU the arrays that a background thread would write are donated to the next
            # step while it reads them.
            enable_async_checkpointing=jax.default_backend() != "cpu",
            cleanup_tmp_directories=True,  # Left by a run that was killed while writing.
        )
        self.folder = Path(workdir).absolute() / "checkpoints"
        self._fallback = config.fallback
        self._manager = ocp.CheckpointManager(self.folder, options=options)
        self._without_digests: int | None = None  # Being saved by another thread, or just saved.

    @property
    def latest(self) -> int | None:
        """Step of the newest checkpoint; None without one."""
        return max(self._steps(), default=None)

    def check(self) -> None:
        """Verifies the files of the newest checkpoint by their digests.

        Raises:
            ValueError: It is damaged, and `fallback` is off or all others are damaged, too.
        """
        self._newest_undamaged(self._check)

    def saved(self, name: str) -> dict[str, Any] | None:
        """Returns an item of the newest checkpoint's `metadata` by name; None if it has none."""
        for step in sorted(self._manager.all_steps(), reverse=True):
            if (self.folder / str(step) / name).is_dir():
                args = ocp.args.Composite(**{name: ocp.args.JsonRestore()})
                return self._manager.restore(step, args=args)[name]
        return None

    def check_space(self, state: TrainState) -> None:
        """Checks that the disk has room for one more checkpoint.

        Raises:
            OSError: There is too little.
        """
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        free = shutil.disk_usage(self.folder.parent).free
        if free < needed:
            raise OSError(
                f"{self.folder}: expected room for a checkpoint of {needed / 1e6:,.0f} MB, found "
                f"{free / 1e6:,.0f} MB free"
            )

    def save(
        self,
        state: TrainState,
        batches: grain.DatasetIterator,
        best: BestScore,
        metadata: dict[str, dict[str, Any]],
    ) -> None:
        """Saves the run after `state.step` batches; does nothing if that is saved already.

        Args:
            state: Training state.
            batches: Iterator over the data, whose position is saved.
            best: Best validation score so far.
            metadata: Further items by name, written as JSON.

        Raises:
            OSError: It cannot be written; partial files are removed.
        """
        step = int(state.step)
        if step == self.latest:
            return
        items = {name: ocp.args.JsonSave(content) for name, content in metadata.items()}
        with self._removed_on_error(step):
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    batches=grain.checkpoint.CheckpointSave(batches),
                    progress=ocp.args.JsonSave(dataclasses.asdict(best)),
                    **items,
                ),
            )
        self._without_digests = step
        self.write_digests()

    def write_digests(self) -> None:
        """Writes the digests of a finished checkpoint; to be called from time to time."""
        step = self._without_digests
        if step is None or self._manager.is_saving_in_progress():
            return
        with self._removed_on_error(step):
            self._manager.wait_until_finished()
            if jax.process_index() == 0:
                digests.write(self.folder / str(step))
        self._without_digests = None

    def restore(
        self, state: TrainState, batches: grain.DatasetIterator
    ) -> tuple[TrainState, BestScore]:
        """Restores the newest checkpoint.

        Args:
            state: State of the same shapes and shardings.
            batches: New iterator over the same data; it is moved to the saved position.

        Returns:
            The restored state and the best validation score.

        Raises:
            ValueError: It is damaged, and `fallback` is off or all others are damaged, too.
        """
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)

        def read(step: int) -> Any:
            return self._manager.restore(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardRestore(target),
                    batches=grain.checkpoint.CheckpointRestore(batches),
                    progress=ocp.args.JsonRestore(),
                ),
            )

        restored = self._newest_undamaged(read)
        return restored["state"], BestScore(**restored["progress"])

    def close(self) -> None:
        """Waits until all checkpoints are written, and closes the folder."""
        try:
            self._manager.wait_until_finished()
            self.write_digests()
        finally:
            self._manager.close()

    def _steps(self) -> set[int]:
        """Steps of all checkpoints, including any that Orbax wrongly takes for unfinished."""
        found = {path.parent.name for path in self.folder.glob(f"*/{digests.NAME}")}
        return {int(name) for name in found if name.isdigit()} | {*self._manager.all_steps()}

    def _check(self, step: int) -> None:
        folder = self.folder / str(step)
        if not digests.check(folder):
            for item in sorted(path for path in folder.iterdir() if path.is_dir()):
                if not any(path.is_file() for path in item.rglob("*")):
                    raise ValueError(f"{item}: expected files, found none")
            _log.warning("%s has no digests: whether it is whole is not checked", folder)
        elif step not in self._manager.all_steps():
            raise ValueError(f"{folder}: expected a finished checkpoint, found one without its end")

    def _newest_undamaged(self, read: Callable[[int], Any]) -> Any:
        """Applies `read` to the newest checkpoint; with `fallback`, to the newest undamaged one.

        Damaged checkpoints that are newer are removed: the run writes them again.
        """
        damaged: list[int] = []
        for step in sorted(self._steps(), reverse=True):
            try:
                result = read(step)
            except Exception as error:  # Orbax raises whatever its parts meet.
                reason = textwrap.shorten(str(error), 120)
                message = f"{self.folder / str(step)} is damaged ({reason})"
                if not self._fallback:
                    hint = "checkpoint.fallback=True goes on from the one before it"
                    raise ValueError(f"{message}; {hint}") from error
                _log.warning("%s; going on from the one before it", message)
                damaged.append(step)
                continue
            for step_after in damaged:
                self._remove(str(step_after))
            return result
        if damaged:
            raise ValueError(f"{self.folder}: expected a checkpoint that is whole, found none")
        return None

    @contextlib.contextmanager
    def _removed_on_error(self, step: int) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # Orbax raises whatever its parts meet.
            self._without_digests = None
            self._remove(f"{step}", f"{step}.*")
            full = "No space left on device" in str(error)
            reason = "no space is left on the disk" if full else str(error).split("\n")[0]
            raise OSError(f"{self.folder / str(step)}: cannot be written: {reason}") from error

    def _remove(self, *patterns: str) -> None:
        if jax.process_index() == 0:
            for path in [path for pattern in patterns for path in self.folder.glob(pattern)]:
                shutil.rmtree(path, ignore_errors=True)
        self._manager.reload()
