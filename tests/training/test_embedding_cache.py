"""Training of a head on embeddings that a frozen encoder gave before."""

import functools
import json
import os
import signal

import jax
import numpy as np
import pytest
import toy

from samjax import models, signals
from samjax.data.embeddings import EmbeddingStore
from samjax.data.files import DataError
from samjax.models import HeadConfig, directory
from samjax.tasks import TrainableConfig
from samjax.training import config as training_config
from samjax.training import embedding_cache, loop

CACHED = {"data.cache_embeddings": True}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy.write_phantoms(tmp_path_factory.mktemp("data"))


def recipe(data, **fields):
    network = models.tiny(peft=models.PeftConfig("none"), head=HeadConfig("linear"))
    frozen = TrainableConfig(encoder="frozen")
    experiment = training_config.Experiment(model=network, trainable=frozen)
    return toy.recipe(experiment, data, **{"data.threads": 2, **fields})


def params_of(result):
    return directory.load(result.model_dir).params


def files(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*.npy"))}


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("kind", "dtype", "tolerance"),
    # Unoptimised and on eight devices, the linear head's step adds up in another order.
    [("autosam", "float32", 0), ("linear", "float32", 1e-7), ("linear", "bfloat16", 0)],
)
def test_the_same_parameters_as_without_a_cache(data, tmp_path, kind, dtype, tolerance):
    fields = {"model.head.kind": kind, "model.dtype": dtype}
    plain = params_of(loop.train(recipe(data, **fields), tmp_path / "plain"))
    cached = params_of(loop.train(recipe(data, **fields, **CACHED), tmp_path / "cached"))
    equal = functools.partial(np.testing.assert_allclose, rtol=0, atol=tolerance)
    jax.tree.map(equal, cached, plain)


@pytest.mark.heavy
def test_runs_share_a_cache_and_mend_it(data, tmp_path):
    shared = {**CACHED, "data.cache_dir": str(tmp_path / "shared")}
    first = loop.train(recipe(data, **shared), tmp_path / "a")
    made = files(tmp_path / "shared")
    assert len(made) > 8
    damaged, missing, *_ = made
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    missing.unlink()
    second = loop.train(recipe(data, **shared), tmp_path / "b")
    jax.tree.map(np.testing.assert_array_equal, params_of(first), params_of(second))
    again = files(tmp_path / "shared")
    assert again.keys() == made.keys()
    assert {path for path in made if made[path] != again[path]} == {damaged, missing}
    other = {**shared, "preprocessing.normalise": "min_max"}
    loop.train(recipe(data, **other), tmp_path / "c")
    assert len(list((tmp_path / "shared").iterdir())) == 2  # Each has its own key.
    assert len(files(tmp_path / "shared")) == 2 * len(made)


@pytest.mark.heavy
def test_a_stop_while_embedding(data, tmp_path, monkeypatch):
    whole = params_of(loop.train(recipe(data, **CACHED), tmp_path / "whole"))
    read, stops = embedding_cache.read_image, [signal.SIGTERM]

    def interrupting(path):
        for number in stops[:1]:
            stops.clear()
            os.kill(os.getpid(), number)
        return read(path)

    monkeypatch.setattr(embedding_cache, "read_image", interrupting)
    with pytest.raises(signals.Interrupted, match="after step 0 of 3"):
        loop.train(recipe(data, **CACHED), tmp_path / "run")
    done = files(tmp_path / "run")
    assert 0 < len(done) < len(files(tmp_path / "whole"))
    monkeypatch.undo()
    result = loop.train(recipe(data, **CACHED), tmp_path / "run")
    kept = files(tmp_path / "run")
    assert all(kept[path] == time for path, time in done.items())
    jax.tree.map(np.testing.assert_array_equal, params_of(result), whole)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"trainable.encoder": "full"}, "trainable.encoder: expected frozen with .*found full"),
        ({"data.augment.flip": 0.5}, r"data.augment.flip: expected 0 with .*found 0.5"),
        ({"model.peft.kind": "msa", "model.peft.depth": 2}, r"peft.depth: expected 0 .*found 2"),
        ({"model.head.kind": "masks"}, "data.cache_embeddings: expected False with .*kind=masks"),
    ],
)
def test_what_cannot_be_cached(data, fields, message):
    with pytest.raises(ValueError, match=message):
        training_config.from_config_dict(recipe(data, **{**CACHED, **fields}))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_store(tmp_path, dtype):
    store = EmbeddingStore(tmp_path / "key", (2, 2, 3), dtype)
    store.open({"a": 1})
    array = np.random.default_rng(0).normal(size=(2, 2, 3)).astype(np.float32)
    array = np.asarray(jax.numpy.asarray(array, dtype))
    path = store.folder / "x.npy"
    assert not store.holds(path)
    store.write(path, array)
    np.testing.assert_array_equal(store.read(path), array)
    with pytest.raises(DataError, match=r"expected \(9,\) .*, found \(2, 2, 3\)"):
        EmbeddingStore(store.folder, (9,), dtype).read(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="expected the bytes that were written"):
        store.read(path)
    with pytest.raises(OSError, match=r"expected room for .* embeddings"):
        store.check_space(10**18)


def test_foreign_folders_are_refused(tmp_path):
    store = EmbeddingStore(tmp_path / "key", (1,), "float32")
    store.open({"a": 1})
    store.open({"a": 1})
    with pytest.raises(ValueError, match="expected the settings that gave the folder its name"):
        store.open({"a": 2})
    assert json.loads((store.folder / "config.json").read_text()) == {"a": 1}
    (tmp_path / "other").mkdir()
    (tmp_path / "other/x").write_text("")
    with pytest.raises(ValueError, match="found files without"):
        EmbeddingStore(tmp_path / "other", (1,), "float32").open({})
