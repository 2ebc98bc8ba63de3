"""A run that is stopped, killed and resumed equals an uninterrupted run, bit for bit."""

import json
import signal

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import toy
from command import finish, start

from samjax.models import directory

INTERRUPTED = "tests/training/interrupted.py"

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def runs(phantom_root, tmp_path_factory):
    """A run left alone, and one that is stopped in batch 3, then killed before batch 6 is done."""
    folder, cache = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("cache")
    alone = toy.arguments(phantom_root, folder / "alone")
    troubled = toy.arguments(phantom_root, folder / "troubled")
    first = start("train.py", *alone, cache=cache)
    outputs = [finish(start(INTERRUPTED, "SIGTERM", "3", *troubled, cache=cache), 143)]
    steps = [saved(folder / "troubled")]
    killed = start(INTERRUPTED, "SIGKILL", "3", *troubled, cache=cache)
    outputs.append(finish(killed, -signal.SIGKILL))
    steps.append(saved(folder / "troubled"))
    outputs.append(finish(start("train.py", *troubled, cache=cache)))
    finish(first)
    return folder, outputs, steps


def saved(workdir):
    return max(
        int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit()
    )


def identical(one, other):
    equal = jax.tree.map(lambda a, b: a.dtype == b.dtype and np.array_equal(a, b), one, other)
    return all(jax.tree.leaves(equal))


def final_state(workdir):
    with ocp.CheckpointManager(workdir / "checkpoints") as manager:
        assert manager.latest_step() == 6
        restore = ocp.args.Composite(state=ocp.args.StandardRestore())
        state = manager.restore(6, args=restore).state
    return {**state, "key": jax.random.key_data(state["key"])}


def test_sigterm_saves_the_batch_in_hand(runs):
    _, outputs, steps = runs
    assert "stopped after step 3 of 6; the same command goes on from there" in outputs[0]
    assert steps[0] == 3


def test_after_a_kill_the_last_checkpoint_counts(runs):
    _, outputs, steps = runs
    assert "resuming" in outputs[1]
    assert "after step 3 of 6" in outputs[1]
    assert steps[1] == 4  # `checkpoint.every` is 2; the kill came in batch 6.
    assert "after step 4 of 6" in outputs[2]


def test_the_end_is_the_same_to_the_bit(runs):
    folder, _, _ = runs
    alone, troubled = final_state(folder / "alone"), final_state(folder / "troubled")
    assert set(alone) == {"step", "params", "optimizer", "key"}
    assert identical(alone, troubled)
    last = [directory.load(folder / name / "last").params for name in ("alone", "troubled")]
    assert identical(*last)
    assert identical(last[0], alone["params"])


def test_every_batch_is_logged_once_with_the_same_numbers(runs):
    folder, _, _ = runs
    rows = [
        [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("alone", "troubled")
    ]
    for found in rows:
        assert [row["step"] for row in found] == [1, 2, 3, 4, 5, 6]
        for row in found:
            del row["images_per_s"], row["images_per_cpu_s"]
    assert rows[0] == rows[1]


def test_the_data_go_on_where_they_were(runs):
    folder, _, _ = runs
    places = []
    for name in ("alone", "troubled"):
        saved = (folder / name / "checkpoints/6/batches").glob("*.json")
        places.append([json.loads(file.read_text()) for file in saved])
    assert len(places[0]) == 1
    assert places[0] == places[1]
