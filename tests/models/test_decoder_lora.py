"""LoRA on the projections of the mask decoder's attention, as in SAMed_s."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import TINY, random_params, shapes

from samjax import models
from samjax.models import HeadConfig, PeftConfig, groups
from samjax.tasks import trainable

DECODER = PeftConfig("lora", rank=3, scale=0.5, decoder=True)
CONFIG = dataclasses.replace(TINY, peft=DECODER, head=HeadConfig("semantic", 2))


def logits(config, params, embedding):
    return np.asarray(jax.jit(functools.partial(models.predict_classes, config))(params, embedding))


@pytest.fixture(scope="module")
def embedding():
    side, dim = CONFIG.grid_size, CONFIG.prompt_dim
    return jnp.asarray(np.random.default_rng(3).normal(size=(2, side, side, dim)), jnp.float32)


def test_it_lies_in_every_attention():
    names = [n for n, _ in models.named_leaves(shapes(CONFIG)) if "/adapter/" in n]
    decoder = [name for name in names if name.startswith("mask_decoder/")]
    attentions = 3 * CONFIG.decoder_depth + 1
    assert len(decoder) == attentions * 2 * 2
    assert all("q_proj" in name or "v_proj" in name for name in decoder)
    declared = models.declarations(CONFIG)
    assert {declared[name].group for name in decoder} == {"decoder"}


@pytest.mark.heavy
def test_fresh_it_changes_nothing(embedding):
    params = models.init(CONFIG, jax.random.key(0))
    plain, merged = models.merge_lora(CONFIG, params)
    np.testing.assert_array_equal(
        logits(CONFIG, params, embedding), logits(plain, merged, embedding)
    )


@pytest.mark.heavy
def test_merged_equals_unmerged(embedding):
    params = random_params(CONFIG)
    plain, merged = models.merge_lora(CONFIG, params)
    assert plain.peft == PeftConfig("none")
    assert not [name for name, _ in models.named_leaves(merged) if "/adapter/" in name]
    expected = logits(CONFIG, params, embedding)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(logits(plain, merged, embedding), expected, atol=1e-5 * scale)
    unchanged = {n: v for n, v in models.named_leaves(params) if "/adapter/" not in n}
    dropped = groups.merge({"all": unchanged})
    assert np.abs(logits(plain, dropped, embedding) - expected).max() > 0.01 * scale


def test_the_frozen_transformer_leaves_it_trained():
    part = trainable.TrainableConfig(decoder="without_transformer")
    pattern = part.frozen(CONFIG.peft, iou_head=False)
    for name, _ in models.named_leaves(shapes(CONFIG)):
        if name.startswith("mask_decoder/transformer/"):
            assert bool(re.fullmatch(pattern, name)) == ("/adapter/" not in name)


@pytest.mark.heavy
def test_sizes_in_vit_b():
    """As published: LoRA of the encoder 147,456, the decoder of nine tokens 4,759,945."""
    head = HeadConfig("semantic", 8)

    def sizes(peft):
        config = models.vit_b(peft=peft, head=head)
        parts = groups.split(config, shapes(config))
        return {k: sum(np.prod(v.shape) for v in parts[k].values()) for k in ("adapter", "decoder")}

    assert sizes(PeftConfig("lora")) == {"adapter": 147_456, "decoder": 4_759_945}
    # Per layer 4 (512 + 512) and 8 (256 + 128), and at the end 2 of the latter, of rank 4.
    added = 4 * (2 * (2 * 512 + 4 * 384) + 2 * 384)
    assert sizes(PeftConfig("lora", decoder=True))["decoder"] == 4_759_945 + added


def test_where_it_has_no_effect():
    with pytest.raises(ValueError, match="decoder: expected its default False"):
        PeftConfig("sam_med2d", decoder=True)
    with pytest.raises(ValueError, match=r"peft\.decoder: expected False with head linear"):
        dataclasses.replace(CONFIG, head=HeadConfig("linear", 2))
