import os
import subprocess
import sys

import numpy as np
import pytest

from samjax.evaluation.metrics import surface
from samjax.evaluation.metrics.workers import PackedMask, SurfaceWorkers


def pairs(count):
    rng = np.random.default_rng(0)
    return [rng.random((3, 21, 17)) < 0.5 for _ in range(count)]


@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_order_and_are_those_of_one_process(workers):
    with SurfaceWorkers(workers, (1.0, 2.0)) as pool:
        for number, (truth, *predictions) in enumerate(pairs(12)):
            pool.submit(number, truth, predictions, (1.0, 2.5))
        found = [*pool.results(wait=True)]
    assert [key for key, _ in found] == [*range(12)]
    for (_, values), (truth, *predictions) in zip(found, pairs(12), strict=True):
        assert values == surface.measure(truth, predictions, (1.0, 2.5), (1.0, 2.0))


def test_a_worker_that_dies_is_an_error_that_names_the_mask():
    with SurfaceWorkers(1, (1.0,)) as pool:
        truth = np.ones((4, 4), bool)
        pool._waiting.append(("masks/a.png", 0, pool._pool.submit(os._exit, 1)))
        with pytest.raises(RuntimeError, match=r"masks/a\.png: a worker process has died"):
            [*pool.results(wait=True)]
        with pytest.raises(RuntimeError, match=r"masks/b\.png: a worker process has died"):
            pool.submit("masks/b.png", truth, [truth], (1, 1))


def test_packing_keeps_any_shape():
    for mask in (np.ones((3, 5), bool), np.eye(9, dtype=bool), np.zeros((2, 3, 5), bool)):
        np.testing.assert_array_equal(PackedMask.of(mask).unpack(), mask)


def test_workers_do_not_import_jax():
    code = (
        "import sys; import samjax.evaluation.metrics.workers; "
        "import samjax.evaluation; print('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
