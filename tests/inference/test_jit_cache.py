import jax
import numpy as np

from samjax.inference import Predictor, jit_cache


def test_jit_cache_is_cleared_at_half_of_the_mappings(model, photo, tmp_path, monkeypatch):
    """Every check finds too many mappings: the results stay the same."""
    predictor, box = Predictor(model), [5, 5, 30, 30]
    predictor.set_image(photo(40, 50))
    expected = predictor.predict(box=box)
    dropped, drop = [], jax.clear_caches
    monkeypatch.setattr(jax, "clear_caches", lambda: dropped.append(drop()))
    (tmp_path / "most").write_text("10\n")
    (tmp_path / "mapped").write_text("a mapping\n" * 6)
    monkeypatch.setattr(jit_cache, "_LIMIT_FILE", tmp_path / "most")
    monkeypatch.setattr(jit_cache, "_MAPS_FILE", tmp_path / "mapped")
    monkeypatch.setattr(jit_cache, "_CHECK_INTERVAL", 1)
    predictor.set_image(photo(40, 50))
    assert len(dropped) == 1
    for one, other in zip(predictor.predict(box=box), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    (tmp_path / "mapped").write_text("a mapping\n" * 5)
    predictor.set_image(photo(40, 50))
    assert len(dropped) == 1
