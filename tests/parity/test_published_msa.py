"""The Medical SAM Adapter's published code, of 2025 (`msa`) and of May 2023 (`msa_first`).

From its checkpoint to embedding, prompt tokens, masks and loss.
"""

import dataclasses
import functools
import hashlib
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax import conversion, losses, masks, models, types
from samjax.conversion import torch_file
from samjax.models.image_encoder import VitBlock

pytestmark = [pytest.mark.parity, pytest.mark.heavy]
FILES = {"msa": "best_dice_checkpoint.pth", "msa_first": "best_checkpoint.pth"}


class Published:
    """A fixture: settings, arrays, and our model of its checkpoint."""

    def __init__(self, folder, kind):
        self.kind, self.path = kind, folder / kind / FILES[kind]
        self.settings = json.loads((folder / kind / "config.json").read_text())
        with np.load(folder / kind / f"{kind}.npz") as file:
            self.arrays = dict(file)
        heads = self.settings["config"]["dec_heads"]
        options = conversion.ConversionOptions(decoder_heads=heads)
        self.model, self.report = conversion.from_torch(self.path, options)

    @property
    def config(self):
        return self.model.config

    def images(self):
        grey = jnp.asarray(self.arrays["image"])[..., None] * 255
        preprocessing = self.model.preprocessing
        return (grey - jnp.asarray(preprocessing.mean)) / jnp.asarray(preprocessing.std)

    def prompts(self):
        first = self.kind == "msa_first"
        clicks = jnp.asarray(self.arrays["click_yx" if first else "click"])[:, None, None]
        labels = jnp.ones(clicks.shape[:3], jnp.int32)
        if not first:
            labels = jnp.asarray(self.arrays["click_label"])[:, None, None].astype(jnp.int32)
        none = types.no_prompts(len(clicks), 1, 1, self.config.mask_size)
        return none.replace(points=clicks, labels=labels)

    def predict(self, prompts, multimask=False, **changes):
        """Returns logits and scores of the one object of each image, from their embedding."""
        embedding = jnp.asarray(self.arrays["embedding"]).transpose(0, 2, 3, 1)
        config = dataclasses.replace(self.config, **changes)
        run = jax.jit(functools.partial(models.predict_masks, config), static_argnums=3)
        found = run(self.model.params, embedding, prompts, multimask)
        return [np.asarray(output[:, 0]) for output in found]


@pytest.fixture(scope="module")
def load(method_fixtures):
    return functools.lru_cache(lambda kind: Published(method_fixtures, kind))


@pytest.fixture(params=FILES)
def published(request, load):
    return load(request.param)


def encode(config, params, images):
    run = jax.jit(functools.partial(models.encode_image, config))
    return np.asarray(run(params, images)).transpose(0, 3, 1, 2)


def close(ours, theirs, tolerance):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


def test_the_file_tells_the_architecture(published):
    found, expected = published.config, published.settings["config"]
    for name in ("embed_dim", "depth", "num_heads", "window_size", "prompt_dim", "mask_in_chans"):
        assert getattr(found, name) == expected[name]
    assert found.image_size == published.settings["image_size"]
    assert found.global_attn_indexes == tuple(expected["global_attn_indexes"])
    assert found.decoder_mlp_dim == expected["dec_mlp"]
    assert found.iou_head_hidden_dim == expected["iou_hidden"]
    assert (found.peft.kind, found.window_padding) == ("msa", "norm_bias")
    first = published.kind == "msa_first"
    assert found.two_way == ("sam" if first else "efficient_sam")
    side = published.arrays["embedding"].shape[-1]
    positions = published.model.params["image_encoder"]["pos_embed"].shape[1]
    assert found.pos_embed_size == (0 if positions == side and first else positions)
    assert not published.report.mismatches and published.report.is_guess
    assert f"family {published.kind} " in published.report.notes[-1]


def test_the_file_travels_back_bit_for_bit(published, tmp_path):
    again = tmp_path / "again.pth"
    conversion.to_torch(again, published.model)
    ours, theirs = torch_file.read(again), torch_file.read(published.path)
    assert ours.under == theirs.under == ("state_dict",)
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name, tensor in theirs.tensors.items():
        assert ours.tensors[name].dtype == tensor.dtype, name
        np.testing.assert_array_equal(ours.tensors[name], tensor, err_msg=name)
    model, _ = conversion.from_torch(again)
    assert (model.config, model.preprocessing) == (published.config, published.model.preprocessing)
    jax.tree.map(np.testing.assert_array_equal, model.params, published.model.params)


def test_embedding(published):
    found = encode(published.config, published.model.params, published.images())
    close(found, published.arrays["embedding"], 2e-4)


def test_embedding_with_the_relative_positions_of_sam(load, fixtures):
    published = load("msa")
    base = fixtures / "tiny_sam_1024.pth"
    if hashlib.sha256(base.read_bytes()).hexdigest() != published.settings["base"]["sha256"]:
        pytest.skip(f"{base} is not the file that the fixture was made from")
    size = published.config.image_size
    sam, _ = conversion.from_torch(base, conversion.ConversionOptions(image_size=size))
    params = jax.tree.map(lambda leaf: leaf, published.model.params)
    for block in range(published.config.depth):
        for name in ("rel_pos_h", "rel_pos_w"):
            attention = f"blocks_{block}"
            ours = params["image_encoder"][attention]["attn"]
            ours[name] = sam.params["image_encoder"][attention]["attn"][name]
    found = encode(published.config, params, published.images())
    close(found, published.arrays["embedding_with_rel_pos"], 2e-4)


def test_embedding_of_slices_that_are_encoded_together(load):
    """Two images and their mirror images in one chunk, as `three_d` says."""
    published = load("msa")
    chunk = int(re.search(r"chunk (\d+)", published.settings["three_d"])[1])
    peft = dataclasses.replace(published.config.peft, depth=chunk)
    config = dataclasses.replace(published.config, peft=peft)
    images = published.images()
    slices = jnp.concatenate([images, images[:, :, ::-1]])
    theirs = published.arrays["three_d/embedding"]
    close(encode(config, published.model.params, slices), theirs, 2e-4)


@pytest.mark.parametrize("padding", ["norm_bias", "zero"])
def test_blocks(published, padding):
    """A windowed and a global block; padding by zeros would be wrong, but for the latter."""
    names = [name for name in published.arrays if name.startswith("block_unit/") and "_" in name]
    names = [name for name in names if name != "block_unit/x"]
    assert len(names) == 2
    config = dataclasses.replace(published.config, window_padding=padding)
    for name in names:
        index = int(name.rsplit("_", 1)[1])
        block = jax.jit(functools.partial(VitBlock(config, index).apply, adapters=True))
        params = published.model.params["image_encoder"][f"blocks_{index}"]
        found = block({"params": params}, jnp.asarray(published.arrays["block_unit/x"]))
        theirs = published.arrays[name]
        if padding == "zero" and "windowed" in name:
            assert np.abs(found - theirs).max() > 0.01
        else:
            close(found, theirs, 2e-4)


def test_prompt_tokens(load):
    published = load("msa")
    encode_prompts = jax.jit(functools.partial(models.encode_prompts, published.config))
    embedded = encode_prompts(published.model.params, published.prompts())
    tokens = np.asarray(embedded.sparse[:, 0])[:, np.asarray(embedded.valid[0, 0])]
    close(tokens, published.arrays["sparse"], 1e-5)


def test_masks(published):
    low_res, scores = published.predict(published.prompts())
    theirs = published.arrays["low_res_logits"]
    close(low_res, theirs, 2e-4)
    close(scores, published.arrays["scores"], 2e-4)
    if published.kind == "msa":
        full = masks.upsample(jnp.asarray(low_res), published.settings["out_size"])
        close(full, published.arrays["logits"], 2e-4)
    other = {"sam": "efficient_sam", "efficient_sam": "sam"}[published.config.two_way]
    found, _ = published.predict(published.prompts(), two_way=other)
    assert np.linalg.norm(found - theirs) > 0.1 * np.linalg.norm(theirs)


def test_clicks_of_all_images_together(load):
    """As the first version was trained: every image saw the clicks of the whole batch."""
    published = load("msa_first")
    prompts = published.prompts()
    count = len(prompts.points)
    spread = jnp.broadcast_to(prompts.points[:, 0, 0], (count, 1, count, 2))
    labels = jnp.ones((count, 1, count), jnp.int32)
    low_res, scores = published.predict(prompts.replace(points=spread, labels=labels))
    close(low_res, published.arrays["low_res_logits_clicks_together"], 2e-4)
    close(scores, published.arrays["scores_clicks_together"], 2e-4)


def test_two_masks_with_soft_truth(load):
    published = load("msa")
    (single, score), (many, scores) = (
        published.predict(published.prompts(), multimask) for multimask in (False, True)
    )
    low_res = np.concatenate([single, many], axis=1)[:, :2]
    close(low_res, published.arrays["two/low_res_logits"], 2e-4)
    found = np.concatenate([score, scores], axis=1)[:, :2]
    close(found, published.arrays["two/scores"], 2e-4)
    truth = jnp.asarray(published.arrays["truth_two"])
    logits = masks.upsample(jnp.asarray(low_res), truth.shape[-1])
    loss = losses.binary_cross_entropy(logits[:, None], truth[:, None], 2.0).mean()
    np.testing.assert_allclose(loss, published.arrays["two/loss"], rtol=1e-5)
