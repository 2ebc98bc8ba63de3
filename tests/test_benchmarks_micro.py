import jax
import numpy as np
import pytest

from benchmarks.microbenchmarks import MICROBENCHMARKS

pytestmark = pytest.mark.heavy


@pytest.mark.parametrize("name", MICROBENCHMARKS)
def test_the_plain_and_our_implementation_agree(name):
    plain, ours, arguments = MICROBENCHMARKS[name]
    found, expected = (
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(jax.jit(function)(*arguments))])
        for function in (ours, plain)
    )
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
