"""The parameters of a network: their declarations, names and counts."""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import PRNGKeyArray

from samjax import types
from samjax.models import sam
from samjax.models.config import SamConfig
from samjax.models.declare import Declaration
from samjax.models.heads.prompts import PromptHead
from samjax.models.mask_decoder import MaskDecoder
from samjax.models.prompt_encoder import PromptEncoder
from samjax.types import Params


@functools.lru_cache(maxsize=32)
def declarations(config: SamConfig) -> Mapping[str, Declaration]:
    """Returns what modules declare of each parameter, by path, `a/b/c`, in tree order.

    Cached, since tracing the modules takes a second.
    """
    # Rematerialised blocks do not see the modules around them, whose groups they inherit.
    config = dataclasses.replace(config, remat=False)
    traced = jax.eval_shape(functools.partial(_declared, config), jax.random.key(0))
    return MappingProxyType(dict(named_leaves(traced)))


@functools.lru_cache(maxsize=32)
def shapes(config: SamConfig) -> Mapping[str, tuple[int, ...]]:
    """Returns the shape of each parameter by path, `a/b/c`."""
    return MappingProxyType({name: each.shape for name, each in declarations(config).items()})


def named_leaves(params: Params) -> Iterator[tuple[str, Any]]:
    """Yields (`a/b/c`, leaf) for every parameter, in tree order."""
    leaves = jax.tree_util.tree_leaves_with_path(
        params, is_leaf=lambda each: isinstance(each, Declaration)
    )
    for path, leaf in leaves:
        yield "/".join(key.key for key in path), leaf


def without_adapters(params: Params) -> Params:
    """Returns the parameters without those of `SamConfig.peft`, of encoder and decoder."""
    kept = {path: leaf for path, leaf in named_leaves(params) if "/adapter/" not in path}
    return traverse_util.unflatten_dict(kept, sep="/")


def count_parameters(config: SamConfig) -> int:
    """Counts the parameters of a network, without constants."""
    return sum(map(_count, declarations(config).values()))


def parameter_overview(config: SamConfig, depth: int = 2) -> str:
    """Returns a table of parameter counts by the first `depth` parts of their names."""
    counts: dict[str, int] = {}
    for name, declared in declarations(config).items():
        part = "/".join(name.split("/")[:depth])
        counts[part] = counts.get(part, 0) + _count(declared)
    width = max(map(len, counts))
    counts["total"] = count_parameters(config)
    return "\n".join(f"{part:<{width}}  {count:>13,}" for part, count in counts.items())


def _count(declared: Declaration) -> int:
    return 0 if declared.group == "constant" else math.prod(declared.shape)


def _declared(config: SamConfig, key: PRNGKeyArray) -> Params:
    """Returns the declarations of all modules, each with zeros."""
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
    params["mask_decoder"] = decoder
    if config.head.kind == "prompts":
        params["prompt_head"] = PromptHead(config).init(key, embedding)["params"]
    return params
