"""The folder of a run: what it holds of an earlier start, and what must be the same to go on."""

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
from samjax.data import contents, identity
from samjax.data.files import write_whole
from samjax.models import directory
from samjax.training import sharding
from samjax.training.checkpoint import Checkpoints
from samjax.training.config import Experiment
from samjax.training.setup import BAD_FILES, DATA_TABLE, Data

SETTINGS = "config.json"
# What may differ when a run goes on: it changes nothing of what is learned.
# (The place in the data is saved by process, so the number of processes may not.)
_MAY_CHANGE = (
    *("checkpoint", "log", "evaluation", "data.threads", "data.prefetch", "run.report"),
    *("mesh.model", "mesh.rules", "mesh.min_weight_size"),
    *("mesh.coordinator", "mesh.process_index"),
)

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Keeps other trainings out of the folder; process 0 has the lock for all processes of a run.

    Raises:
        ValueError: Another process has it.
        OSError: The folder cannot be made or written to.
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
def nothing_left_of_an_error(workdir: Path) -> Iterator[None]:
    """Removes what was made in the folder within, but for the list of bad files, if that fails."""
    before = set(workdir.iterdir())
    try:
        yield
    except BaseException:
        if jax.process_index() == 0:
            for path in set(workdir.iterdir()) - before - {workdir / BAD_FILES}:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        raise


def check_settings(experiment: Experiment, workdir: Path, checkpoints: Checkpoints) -> None:
    """Compares the settings with those of the run that the folder holds, if any.

    Raises:
        ValueError: They differ, or those of the run cannot be read.
    """
    path = workdir / SETTINGS
    then = _read_settings(path) if path.exists() else checkpoints.saved("config")
    if then is None or not _holds_run(workdir, checkpoints):
        return  # Nothing was learned yet that other settings could mix with.
    usual, now = (_flat(_as_json(e)) for e in (Experiment(), experiment))
    # A field that is younger than the run was what it is by default.
    was = usual | _flat(renames.translate(then))
    for fields in (was, now):
        if not fields["data.validation_fraction"]:
            fields["validation.every"] = 0  # An earlier version took any number, without effect.
    may_change = _MAY_CHANGE
    if experiment.data.check == "all":
        may_change = (*may_change, "data.root")  # What it holds is compared, see `check_data`.
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


def in_order_of_run(data: Data, workdir: Path) -> Data:
    """The data in the order in which the folder's run has it, where nothing else differs.

    The order of an index says nothing, but what is drawn from the data follows it.
    """
    path = workdir / DATA_TABLE
    table = path.read_bytes() if path.exists() else data.table
    images = identity.order(table, data.table)
    if images is None:
        return data
    place = {image: number for number, image in enumerate(images)}
    train, held_out = (
        sorted(samples, key=lambda sample: place[sample.image])
        for samples in (data.train, data.validation)
    )
    return dataclasses.replace(data, train=train, validation=held_out, table=table)


def check_data(table: bytes, workdir: Path, checkpoints: Checkpoints) -> None:
    """Compares the data with those of the run that the folder holds, if any.

    Args:
        table: The images of this start, see `samjax.data.identity.table`.
        workdir: The folder.
        checkpoints: Those of its run.

    Raises:
        ValueError: They differ; the message says in what.
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
    expected = saved["digest"] if saved else contents.digest(then or b"")
    if expected == contents.digest(table):
        return
    if then is not None and contents.digest(then) == expected:
        changed = identity.changed_images(then, table)
    else:
        changed = identity.changed_subjects(saved or {}, identity.summary(table))
    raise ValueError(
        f"{workdir} holds a run on other data ({'; '.join(changed) or 'images or masks differ'}): "
        "take the data of that run, or another --workdir (from the weights of this one with "
        f"--config.init_from={workdir / 'last'}, where it came to its end)"
    )


def begin(experiment: Experiment, table: bytes, workdir: Path) -> None:
    """Writes down what a run is, once everything that it starts from has been checked."""
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
    """Fields by dotted name, of sections within sections."""
    return flatten_dict(fields, sep=".")
