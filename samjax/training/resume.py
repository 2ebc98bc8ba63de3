"""Workdir of a run: its lock, and the checks of settings and data before a run is resumed."""

import contextlib
import dataclasses
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from flax.traverse_util import flatten_dict

from samjax import lock, renames
from samjax.data import fingerprint, split_table
from samjax.data.files import write_whole
from samjax.models import directory
from samjax.training import sharding
from samjax.training.checkpoint import Checkpoints
from samjax.training.config import Experiment
from samjax.training.setup import BAD_FILES, DATA_TABLE, TrainingData

SETTINGS = "config.json"
# Settings that may differ when a run is resumed, since they change nothing of what is learned.
# (The position in the data is saved by process, so the number of processes may not.)
_MAY_CHANGE = (
    *("checkpoint", "log", "evaluation", "data.threads", "data.prefetch", "run.report"),
    "data.cache_dir",
    *("mesh.model", "mesh.rules", "mesh.min_weight_size"),
    *("mesh.coordinator", "mesh.process_index"),
)

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Locks the workdir against other runs; process 0 holds the lock for all processes.

    Raises:
        ValueError: Another run holds the lock.
        OSError: The folder cannot be created or written to.
    """
    with contextlib.ExitStack() as stack:
        problem: Exception | None = None
        if jax.process_index() == 0:
            try:
                stack.enter_context(lock.exclusive(workdir))
            except (OSError, ValueError) as error:
                problem = error
        if sharding.agree(problem is not None):
            raise problem or ValueError(f"{workdir}: process 0 cannot have it, see its message")
        yield


@contextlib.contextmanager
def removed_on_error(workdir: Path) -> Iterator[None]:
    """Removes files that the body created, except the list of bad files, if it fails."""
    before = set(workdir.iterdir())
    try:
        yield
    except BaseException:
        if jax.process_index() == 0:
            for path in set(workdir.iterdir()) - before - {workdir / BAD_FILES}:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        raise


def check_settings(experiment: Experiment, workdir: Path, checkpoints: Checkpoints) -> None:
    """Compares the settings with those of the run in the workdir, if any.

    Raises:
        ValueError: They differ, or those of the run cannot be read.
    """
    path = workdir / SETTINGS
    then = _read_settings(path) if path.exists() else checkpoints.saved("config")
    if then is None or not _holds_run(workdir, checkpoints):
        return  # Nothing has been trained yet.
    defaults, now = (_flat(_as_json(e)) for e in (Experiment(), experiment))
    # Fields that are younger than the run had their default.
    was = defaults | _flat(renames.translate(then))
    for fields in (was, now):
        if not fields["data.validation_fraction"]:
            fields["validation.every"] = 0  # An earlier version took any number, without effect.
    may_change = _MAY_CHANGE
    if experiment.data.check == "all":
        may_change = (*may_change, "data.root")  # Its contents are compared, see `check_data`.
    changed = [
        f"{name}: {was.get(name)!r} then, {now.get(name)!r} now"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name) and not name.startswith(may_change)
    ]
    if changed:
        raise ValueError(
            f"{workdir} holds a run with other settings ({'; '.join(changed)}): "
            "take another --workdir, or the settings of that run"
        )


def in_order_of_run(data: TrainingData, workdir: Path) -> TrainingData:
    """Returns the data in the order of the run in the workdir, if only the order differs.

    The order of an index has no meaning, but random draws depend on it.
    """
    path = workdir / DATA_TABLE
    table = path.read_bytes() if path.exists() else data.table
    images = split_table.original_order(table, data.table)
    if images is None:
        return data
    place = {image: number for number, image in enumerate(images)}
    train, held_out = (
        sorted(samples, key=lambda sample: place[sample.image])
        for samples in (data.train, data.validation)
    )
    return dataclasses.replace(data, train=train, validation=held_out, table=table)


def check_data(table: bytes, workdir: Path, checkpoints: Checkpoints) -> None:
    """Compares the data with those of the run in the workdir, if any.

    Args:
        table: Table of the images, see `samjax.data.split_table.build`.
        workdir: Folder of the run.
        checkpoints: Checkpoints of the run.

    Raises:
        ValueError: They differ; the message names the differences.
    """
    path, saved = workdir / DATA_TABLE, checkpoints.saved("data")
    then = path.read_bytes() if path.exists() else None
    if not _holds_run(workdir, checkpoints):
        return
    if then is None and saved is None:
        _log.warning(
            "%s was begun by a version that kept no list of its images: that they are the same now "
            "is not checked",
            workdir,
        )
        return
    expected = saved["digest"] if saved else fingerprint.of_bytes(then or b"")
    if expected == fingerprint.of_bytes(table):
        return
    if then is not None and fingerprint.of_bytes(then) == expected:
        changed = split_table.changed_images(then, table)
    else:
        changed = split_table.changed_subjects(saved or {}, split_table.summarize(table))
    raise ValueError(
        f"{workdir} holds a run on other data ({'; '.join(changed) or 'images or masks differ'}): "
        "take the data of that run, or another --workdir (from the weights of this one with "
        f"--config.init_from={workdir / 'last'}, where it came to its end)"
    )


def write(experiment: Experiment, table: bytes, workdir: Path) -> None:
    """Writes the settings and the table of images; to be called after all checks."""
    write_whole(workdir / SETTINGS, (json.dumps(_as_json(experiment), indent=2) + "\n").encode())
    write_whole(workdir / DATA_TABLE, table)


def _holds_run(workdir: Path, checkpoints: Checkpoints) -> bool:
    models = any(directory.is_model_dir(workdir / name) for name in ("best", "last"))
    return models or checkpoints.latest is not None


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        found = dict(json.loads(path.read_text()))
    except (ValueError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: expected the settings of a run as JSON, found {error}; delete the file if it "
            "is damaged: every checkpoint holds them, too"
        ) from error
    if missing := {"model", "data", "run"} - found.keys():
        raise ValueError(
            f"{path}: expected the settings of a run, found none for {', '.join(sorted(missing))}; "
            "take another --workdir"
        )
    return found


def _as_json(experiment: Experiment) -> dict[str, Any]:
    return json.loads(json.dumps(dataclasses.asdict(experiment)))


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    """Flattens nested fields to dotted names."""
    return flatten_dict(fields, sep=".")
