import jax
import pytest
import toy

from samjax.training import step


@pytest.fixture(scope="session")
def train_step():
    """The training step, compiled once for each recipe and kept for all tests."""
    return jax.jit(step.train_step, static_argnums=0)


@pytest.fixture(scope="session")
def compilations():
    """A list that grows with everything that is compiled."""
    found = []

    def listen(event: str, _: float, **about) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(about)

    jax.monitoring.register_event_duration_secs_listener(listen)
    return found


@pytest.fixture(scope="session")
def params():
    return toy.params()


@pytest.fixture(scope="session")
def batch():
    return toy.batch(images=2, objects=2)


@pytest.fixture(scope="session")
def phantom_root(tmp_path_factory):
    """Sixteen phantoms to train on and four to test on. Not to be written to."""
    return toy.write_phantoms(tmp_path_factory.mktemp("data") / "phantoms")
