"""Initial values of parameters: one rule for each kind, all drawn at once.

Matrices start with the variance that SAM's did (1 / (3 fan_in)), adapters as the published
SAM-Med2D's (Kaiming over fan_out), embeddings and frequencies from a unit normal. TinyViT's
convolutions keep the scale of their input, since its batch norms do nothing at first.
"""

import functools
import math
import re
from collections.abc import Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import PRNGKeyArray

from samjax import types
from samjax.models import sam
from samjax.models.config import SamConfig
from samjax.models.mask_decoder import MaskDecoder
from samjax.models.parameters import named_leaves
from samjax.models.prompt_encoder import PromptEncoder
from samjax.types import Params


def init(config: SamConfig, key: PRNGKeyArray) -> Params:
    """Draws fresh parameters: a nested dict with `image_encoder`, `prompt_encoder`, `mask_decoder`.

    Heads that take no prompts have no `prompt_encoder`.
    `jax.eval_shape(functools.partial(init, config), key)` gives every shape at no cost.
    """
    declared = shapes(config)
    starts = {name: _start(name, declared, config) for name in declared}
    drawn = {name: math.prod(declared[name]) for name, (_, std) in starts.items() if std}
    # One draw for all: with one for each parameter, XLA compiles for half a minute.
    noise = jax.random.normal(key, (sum(drawn.values()),), jnp.float32)
    params, used = {}, 0
    for name, (mean, std) in starts.items():
        shape = declared[name]
        params[name] = jnp.full(shape, mean, jnp.float32)
        if std:
            params[name] = mean + std * noise[used : used + drawn[name]].reshape(shape)
            used += drawn[name]
    return traverse_util.unflatten_dict(params, sep="/")


def _start(
    name: str, declared: Mapping[str, tuple[int, ...]], config: SamConfig
) -> tuple[float, float]:
    """Returns the mean and standard deviation that a parameter is drawn with."""
    shape, (layer, kind) = declared[name], name.rsplit("/", 1)
    if config.peft.kind == "msa" and "/adapter/" in name:
        # Kernels and biases have the variance of PyTorch's `Linear`, as published.
        zero = layer.endswith("/fc2") and config.peft.init == "zero"
        return 0.0, 0.0 if zero else math.sqrt(1 / (3 * declared[f"{layer}/kernel"][0]))
    if config.peft.kind in ("fact", "ssf", "adaptformer") and "/adapter/" in name:
        return _start_of_other(layer, kind, shape, config)
    if name.endswith("/adapter/up/kernel") and config.peft.init == "zero":
        return 0.0, 0.0
    if kind == "kernel" and config.peft.kind == "lora" and "/adapter/" in name:
        # A has the variance of PyTorch's `Linear`, B is zero (Hu et al., 2022).
        return 0.0, 0.0 if name.endswith(("_b/kernel", "/b/kernel")) else math.sqrt(
            1 / (3 * shape[0])
        )
    if name.endswith("/adapter/spatial/kernel"):  # Depthwise: each channel sees nine pixels.
        return 0.0, 1 / 3
    if kind == "kernel" and "/adapter/" in name:
        # For a transposed kernel the published code counts its inputs, as many as its outputs.
        return 0.0, math.sqrt(2 / (math.prod(shape[:-2]) * shape[-1]))
    if name.endswith("/c/kernel"):
        # After a GELU half of the variance is left; local convolutions have none before them.
        gain = 1 if "/local_conv/" in name else 2
        return 0.0, math.sqrt(gain / math.prod(shape[:-1]))
    if kind == "kernel":
        return 0.0, math.sqrt(1 / (3 * math.prod(shape[:-1])))
    if kind == "scale":
        zero = name.endswith("/adapter/norm/scale") and config.peft.init == "zero"
        # A convolutional block starts as the identity, its shortcut.
        zero |= re.search(r"/blocks_\d+/conv3/bn/scale$", name) is not None
        return (0.0 if zero else 1.0), 0.0
    if kind == "var":
        return 1.0, 0.0
    if kind in ("bias", "mean", "rel_pos_h", "rel_pos_w", "attention_biases"):
        return 0.0, 0.0
    return 0.0, 0.02 if kind == "pos_embed" else 1.0


def _start_of_other(
    layer: str, kind: str, shape: tuple[int, ...], config: SamConfig
) -> tuple[float, float]:
    """Returns the mean and standard deviation of a parameter of micro-sam's kinds of PEFT."""
    zero = config.peft.init == "zero"
    if config.peft.kind == "ssf":
        return (1.0 if kind.endswith("_scale") else 0.0), 0.0 if zero else 0.2
    if kind != "kernel":
        return (1.0 if kind == "alpha" else 0.0), 0.0
    last = layer.endswith("/v") if config.peft.kind == "fact" else layer.endswith("/up")
    return 0.0, 0.0 if last and zero else math.sqrt(1 / (3 * shape[0]))


@functools.lru_cache(maxsize=32)
def shapes(config: SamConfig) -> Mapping[str, tuple[int, ...]]:
    """Returns shapes by path, `a/b/c`; cached, since tracing the modules takes a second."""
    declared = jax.eval_shape(functools.partial(_declared, config), jax.random.key(0))
    return MappingProxyType({name: leaf.shape for name, leaf in named_leaves(declared)})


def _declared(config: SamConfig, key: PRNGKeyArray) -> Params:
    """Returns all parameters that the modules declare; only their shapes are used."""
    images = jnp.zeros((1, config.image_size, config.image_size, 3))
    prompts = types.no_prompts(1, 1, 1, config.mask_size)
    embedding = jnp.zeros((1, config.grid_size, config.grid_size, config.prompt_dim))
    encoder = sam.image_encoder(config).init(key, images, config.peft.enabled)["params"]
    if not config.head.takes_prompt_encoder:
        decoder = sam.class_head(config).init(key, embedding)["params"]
        return {"image_encoder": encoder, "mask_decoder": decoder}
    params = {
        "image_encoder": encoder,
        "prompt_encoder": PromptEncoder(config).init(key, prompts)["params"],
    }
    embedded = sam.encode_prompts(config, params, prompts)
    encoding = sam.grid_encoding(config, params)
    decoder = MaskDecoder(config).init(key, embedding, encoding, embedded, True)["params"]
    return {**params, "mask_decoder": decoder}
