import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samjax.conversion import architecture, resizing, torch_file
from samjax.models import interpolation


def test_as_the_published_code(published):
    tensors = torch_file.read(published / "tiny_sam_1024.pth").tensors
    config = architecture.infer(tensors)
    changed, target = resizing.resize(tensors, config, 256)
    blocks = config.global_attn_indexes
    names = {f"image_encoder.blocks.{i}.attn.rel_pos_{axis}" for i in blocks for axis in "hw"}
    assert changed.keys() == {"image_encoder.pos_embed", *names}
    assert (target.image_size, config.image_size) == (256, 1024)
    expected = np.load(published / "forward.npz")
    for name, key in [
        ("image_encoder.pos_embed", "resized_pos_embed"),
        ("image_encoder.blocks.2.attn.rel_pos_h", "resized_rel_pos_h_block2"),
    ]:
        np.testing.assert_allclose(changed[name], expected[key], rtol=0, atol=1e-6)


@pytest.mark.parametrize("length", [1, 5, 14, 27, 64])
def test_interpolates_as_torch(length):
    torch = pytest.importorskip("torch")
    array = np.random.default_rng(0).normal(size=(2, 14, 3)).astype(np.float32)
    moved = torch.from_numpy(array).permute(0, 2, 1)
    expected = torch.nn.functional.interpolate(moved, length, mode="linear").permute(0, 2, 1)
    np.testing.assert_allclose(interpolation.linear(array, 1, length), expected, atol=1e-6)


@given(
    old=st.integers(1, 40),
    new=st.integers(1, 40),
    value=st.floats(-8, 8, width=32, allow_subnormal=False),
)
def test_constants_stay_and_symmetry_is_kept(old, new, value):
    constant = np.full((old, 2), value, np.float32)
    np.testing.assert_allclose(interpolation.linear(constant, 0, new), value, rtol=1e-6)
    ramp = np.arange(old, dtype=np.float32)
    there, back = interpolation.linear(ramp, 0, new), interpolation.linear(ramp[::-1], 0, new)
    np.testing.assert_allclose(there, back[::-1], atol=1e-4)
    assert there.dtype == np.float32 and len(there) == new


def test_same_size_changes_nothing(tiny, tensors):
    assert resizing.resize(tensors, tiny, tiny.image_size) == ({}, tiny)


def test_a_size_that_cannot_work(tiny, tensors):
    with pytest.raises(ValueError, match=r"image_size.*multiple of patch_size = 8, found 100"):
        resizing.resize(tensors, tiny, 100)
