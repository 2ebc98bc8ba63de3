"""What a run is, told in a few lines at its start, and how long it takes, told soon after."""

import dataclasses
import textwrap
from collections.abc import Iterable, Sequence

from samjax.data.index import Sample
from samjax.training import describe
from samjax.training.config import Experiment
from samjax.training.groups import Groups
from samjax.training.sharding import MeshConfig

_LABEL, _WIDTH = 12, 100
_TIMED = 4  # Steps that the estimate comes from; the first of a start, which compiles, is not one.
_OF_CLUSTER = ("mesh.process_count", "mesh.process_index")  # Told with the devices.


@dataclasses.dataclass(frozen=True)
class RecipeFile:
    """The recipe that a run was asked for.

    Attributes:
        name: Its name.
        settings: What it says by itself, without what was changed on the command line.
    """

    name: str
    settings: Experiment


def settings(experiment: Experiment, recipe: RecipeFile | None) -> str:
    """Returns the recipe, and the fields that differ from it; without one, from the defaults."""
    if recipe is None:
        changed = differences(experiment, Experiment())
        return _line("recipe", "none; " + _changed(changed, "the defaults"))
    own = len(differences(recipe.settings, Experiment()))
    changed = _changed(differences(experiment, recipe.settings), "it")
    return _line("recipe", f"{recipe.name} (fields that are not the defaults: {own}); {changed}")


def differences(now: Experiment, usual: Experiment) -> list[str]:
    """Returns every field that two descriptions have different values of, with both."""
    return [
        f"{row.path}={row.value!r} (not {row.default!r})"
        for row in describe.rows(now, usual)
        if row.changed and row.path not in _OF_CLUSTER
    ]


def data(root: object, train: Sequence[Sample], validation: Sequence[Sample]) -> str:
    """Returns how much there is to train on, and to validate on."""
    held_out = f"; {_counted(validation)} to validate on" if validation else "; no validation"
    return _line("data", f"{root}: {_counted(train)} to train on{held_out}")


def devices(kind: str, count: int, mesh: MeshConfig) -> str:
    """Returns the devices of all processes, and how they share the work."""
    processes = f" of {mesh.process_count} processes" if mesh.process_count > 1 else ""
    shape = f"data {count // mesh.model} x model {mesh.model}"
    return _line("devices", f"{count} x {kind}{processes}; mesh {shape}, {mesh.rules}")


def parameters(groups: Groups, first: Iterable[str], later: Iterable[str]) -> str:
    """Returns the parameters that learn by group, of how many, and in which updates of a batch."""
    counts = {name: sum(leaf.size for leaf in group.values()) for name, group in groups.items()}
    every = [name for name in counts if name in later]
    once = [name for name in counts if name in first and name not in later]
    total = sum(count for name, count in counts.items() if name != "constant")
    parts = [
        f"{when}: {', '.join(f'{name} {counts[name]:,}' for name in names)}"
        for when, names in (("in every update", every), ("in the first update", once))
        if names
    ]
    learning = sum(counts[name] for name in every + once)
    return _line("parameters", f"{learning:,} of {total:,} learn; {'; '.join(parts)}")


def length(total: int, per_epoch: int, batch_size: int, done: int = 0) -> str:
    """Returns the number of steps, and when the time that they take is told."""
    steps = f"{total:,} of {batch_size} images; {total / per_epoch:,.3g} epochs of {per_epoch:,}"
    begun = f"; {done:,} are done" if done else ""
    told = done + 1 + _TIMED
    time = f"estimated after step {told}" if told < total else "too few steps for an estimate"
    return _line("steps", steps + begun) + "\n" + _line("time", time)


class Timer:
    """Estimates how long a run takes, as soon as a few steps have been measured."""

    def __init__(self, total: int, done: int) -> None:
        """Takes the number of steps of the run, and of those done before this start."""
        self._total, self._first = total, done + 1
        self._since = 0.0

    def estimate(self, step: int, now: float) -> str | None:
        """Returns the estimate where it has just become known.

        Args:
            step: The step that has ended.
            now: When, in seconds.
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
    """Returns a time in two units at most."""
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
