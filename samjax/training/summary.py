"""Summary of a run, logged at its start, and the estimate of its duration, logged soon after."""

import dataclasses
import textwrap
from collections.abc import Iterable, Sequence

from samjax.data.classes import Overlaps, SemanticClass
from samjax.data.index import Sample
from samjax.models.groups import Groups, pick
from samjax.training import describe
from samjax.training.config import Experiment
from samjax.training.sharding import MeshConfig

_LABEL, _WIDTH = 12, 100
_TIMED = 4  # Measured steps; the first of a start is not among them, since it compiles.
_OF_CLUSTER = ("mesh.process_count", "mesh.process_index")  # In the line of the devices.


@dataclasses.dataclass(frozen=True)
class RecipeFile:
    """Recipe of a run.

    Attributes:
        name: Its name.
        settings: Its settings, without those of the command line.
        overrides: Dotted names of the fields that the command line sets.
    """

    name: str
    settings: Experiment
    overrides: tuple[str, ...] = ()


def settings(experiment: Experiment, recipe: RecipeFile | None) -> str:
    """Returns a line: the recipe, and the fields that differ from it, or from the defaults."""
    if recipe is None:
        changed = differences(experiment, Experiment())
        return _line("recipe", "none; " + _changed(changed, "the defaults"))
    own = len(differences(recipe.settings, Experiment()))
    changed = _changed(differences(experiment, recipe.settings), "it")
    return _line("recipe", f"{recipe.name} (fields that are not the defaults: {own}); {changed}")


def differences(now: Experiment, usual: Experiment) -> list[str]:
    """Returns the fields that have different values, with both values."""
    return [
        f"{row.path}={row.value!r} (not {row.default!r})"
        for row in describe.rows(now, usual)
        if row.changed and row.path not in _OF_CLUSTER
    ]


def data(root: object, train: Sequence[Sample], validation: Sequence[Sample]) -> str:
    """Returns a line: images, masks and subjects for training and for validation."""
    held_out = f"; {_counted(validation)} to validate on" if validation else "; no validation"
    return _line("data", f"{root}: {_counted(train)} to train on{held_out}")


def labels(classes: Sequence[SemanticClass], overlaps: Overlaps | None) -> list[str]:
    """Returns a line: the number of classes, and overlaps if they were counted; none for masks."""
    if not classes:
        return []
    counted = "" if overlaps is None else f"; {overlaps}, where the smallest mask is on top"
    return [_line("labels", f"{len(classes)} classes{counted}")]


def devices(kind: str, count: int, mesh: MeshConfig) -> str:
    """Returns a line: the devices of all processes, and the mesh."""
    processes = f" of {mesh.process_count} processes" if mesh.process_count > 1 else ""
    shape = f"data {count // mesh.model} x model {mesh.model}"
    return _line("devices", f"{count} x {kind}{processes}; mesh {shape}, {mesh.rules}")


def parameters(groups: Groups, first: Iterable[str], later: Iterable[str], frozen: str = "") -> str:
    """Returns a line: trainable parameters by group, and the updates that train them."""
    counts = _sizes(pick(groups, groups, frozen))
    every = [name for name in counts if name in later]
    once = [name for name in counts if name in first and name not in later]
    total = sum(count for name, count in _sizes(groups).items() if name != "constant")
    parts = [
        f"{when}: {', '.join(f'{name} {counts[name]:,}' for name in names)}"
        for when, names in (("in every update", every), ("in the first update", once))
        if names
    ]
    learning = sum(counts[name] for name in every + once)
    return _line("parameters", f"{learning:,} of {total:,} learn; {'; '.join(parts)}")


def _sizes(groups: Groups) -> dict[str, int]:
    return {name: sum(leaf.size for leaf in group.values()) for name, group in groups.items()}


def length(total: int, per_epoch: int, batch_size: int, done: int = 0) -> str:
    """Returns two lines: the number of steps, and the step after which their time is estimated."""
    steps = f"{total:,} of {batch_size} images; {total / per_epoch:,.3g} epochs of {per_epoch:,}"
    begun = f"; {done:,} are done" if done else ""
    last_timed = done + 1 + _TIMED
    time = (
        f"estimated after step {last_timed}"
        if last_timed < total
        else "too few steps for an estimate"
    )
    return _line("steps", steps + begun) + "\n" + _line("time", time)


class Timer:
    """Estimator of the remaining time, from the first few steps."""

    def __init__(self, total: int, done: int) -> None:
        """Initialises the timer.

        Args:
            total: Steps of the run.
            done: Steps done before this start.
        """
        self._total, self._first = total, done + 1
        self._since = 0.0

    def estimate(self, step: int, now: float) -> str | None:
        """Returns a line with the estimate, once: after the last of the measured steps.

        Args:
            step: Step that has just ended.
            now: Current time, seconds.
        """
        if step == self._first:
            self._since = now
        if step != self._first + _TIMED or step >= self._total:
            return None
        each, left = (now - self._since) / _TIMED, self._total - step
        return _line(
            "time",
            f"about {duration(left * each)} for the {left:,} steps to come, at {each:.3g} s each; "
            "validation, pictures and the report take their own",
        )


def duration(seconds: float) -> str:
    """Formats a time in at most two units."""
    minutes = round(seconds / 60)
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


def _changed(found: list[str], what: str) -> str:
    return f"differing from {what}: {', '.join(found)}" if found else f"nothing differs from {what}"


def _counted(samples: Sequence[Sample]) -> str:
    masks = sum(len(sample.masks) for sample in samples)
    subjects = len({sample.subject for sample in samples})
    return f"{len(samples):,} images, {masks:,} masks of {subjects:,} subjects"


def _line(label: str, text: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=f"{label:<{_LABEL}}",
        subsequent_indent=" " * _LABEL,
        break_long_words=False,
        break_on_hyphens=False,
    )
