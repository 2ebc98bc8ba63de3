"""Checkpoints of a run: everything that the next step depends on, so that it resumes exactly."""

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
    """When a run is saved.

    Attributes:
        every: Batches between checkpoints; one is also made at the end, and when the run is told
            to stop (SIGTERM or Ctrl-C).
        keep: How many of the newest are kept.
        fallback: Where the newest is damaged, go on from the newest that is whole.
    """

    every: fields.PositiveInt = 500
    keep: fields.PositiveInt = 2
    fallback: bool = False

    def __post_init__(self) -> None:
        fields.check(self)


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
            cleanup_tmp_directories=True,  # Left by a run that was killed while writing.
        )
        self.folder = Path(workdir).absolute() / "checkpoints"
        self._fallback = config.fallback
        self._manager = ocp.CheckpointManager(self.folder, options=options)
        self._without_digests: int | None = None  # Saved, or about to be, by another thread.

    @property
    def latest(self) -> int | None:
        """Step of the newest checkpoint."""
        return max(self._steps(), default=None)

    def check(self) -> None:
        """Compares the files of the newest checkpoint with their digests.

        Raises:
            ValueError: It is damaged, and so are all others or `fallback` is not set.
        """
        self._newest_whole(self._check)

    def saved(self, name: str) -> dict[str, Any] | None:
        """What the newest checkpoint says `about` its run under a name; None if nothing."""
        for step in sorted(self._manager.all_steps(), reverse=True):
            if (self.folder / str(step) / name).is_dir():
                args = ocp.args.Composite(**{name: ocp.args.JsonRestore()})
                return self._manager.restore(step, args=args)[name]
        return None

    def check_space(self, state: TrainState) -> None:
        """Checks that the disk has room for one more checkpoint.

        Raises:
            OSError: It has not.
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
        progress: Progress,
        about: dict[str, dict[str, Any]],
    ) -> None:
        """Saves the run as it is after `state.step` batches; does nothing if that is saved.

        Args:
            state: The state of the training.
            batches: The iterator over the data, for its place.
            progress: What validation has shown.
            about: What else to keep, by name; written as JSON.

        Raises:
            OSError: It cannot be written; nothing of it is left.
        """
        step = int(state.step)
        if step == self.latest:
            return
        items = {name: ocp.args.JsonSave(content) for name, content in about.items()}
        with self._nothing_left_of_an_error(step):
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    batches=grain.checkpoint.CheckpointSave(batches),
                    progress=ocp.args.JsonSave(dataclasses.asdict(progress)),
                    **items,
                ),
            )
        self._without_digests = step
        self.write_digests()

    def write_digests(self) -> None:
        """Gives a checkpoint its digests, once it is written; to be called now and then."""
        step = self._without_digests
        if step is None or self._manager.is_saving_in_progress():
            return
        with self._nothing_left_of_an_error(step):
            self._manager.wait_until_finished()
            if jax.process_index() == 0:
                digests.write(self.folder / str(step))
        self._without_digests = None

    def restore(
        self, state: TrainState, batches: grain.DatasetIterator
    ) -> tuple[TrainState, Progress]:
        """Restores the newest checkpoint.

        Args:
            state: A state of the same shapes and shardings, which is replaced.
            batches: A fresh iterator over the same data, which is moved to the saved place.

        Raises:
            ValueError: It is damaged, and so are all others or `fallback` is not set.
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

        restored = self._newest_whole(read)
        return restored["state"], Progress(**restored["progress"])

    def close(self) -> None:
        """Waits until everything is written."""
        try:
            self._manager.wait_until_finished()
            self.write_digests()
        finally:
            self._manager.close()

    def _steps(self) -> set[int]:
        """Checkpoints that are there; also one that Orbax takes for unfinished, if it was not."""
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

    def _newest_whole(self, read: Callable[[int], Any]) -> Any:
        """What `read` gives of the newest checkpoint; with `fallback`, of the newest whole one.

        Those that are damaged, and newer, are removed: the run makes them again.
        """
        damaged: list[int] = []
        for step in sorted(self._steps(), reverse=True):
            try:
                found = read(step)
            except Exception as error:  # Orbax raises whatever its parts meet.
                reason = textwrap.shorten(str(error), 120)
                told = f"{self.folder / str(step)} is damaged ({reason})"
                if not self._fallback:
                    hint = "checkpoint.fallback=True goes on from the one before it"
                    raise ValueError(f"{told}; {hint}") from error
                _log.warning("%s; going on from the one before it", told)
                damaged.append(step)
                continue
            for step_after in damaged:
                self._remove(str(step_after))
            return found
        if damaged:
            raise ValueError(f"{self.folder}: expected a checkpoint that is whole, found none")
        return None

    @contextlib.contextmanager
    def _nothing_left_of_an_error(self, step: int) -> Iterator[None]:
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
