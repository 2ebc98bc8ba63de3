"""The decoder's parameters in few arrays.

Handing over all 137 takes a tenth of the time of a click: norms and biases travel as one.
"""

from typing import no_type_check

import jax
import jax.numpy as jnp
from flax import struct, traverse_util
from jaxtyping import Array, Float

from samjax import models
from samjax.types import Params


@no_type_check  # JAX fills it with shapes, too, and parameters may be NumPy's.
@struct.dataclass
class DecoderWeights:
    """Prompt encoder and mask decoder, packed.

    Attributes:
        matrices: Parameters of more than one axis, by path.
        vectors: All others, one after the other.
        layout: Path and length of each of them.
    """

    matrices: dict[str, jax.Array]
    vectors: Float[Array, " n"]
    layout: tuple[tuple[str, int], ...] = struct.field(pytree_node=False)


def pack_weights(params: Params) -> DecoderWeights:
    """Packs `prompt_encoder` and `mask_decoder`; other parameters are left out."""
    parts = {name: params[name] for name in ("prompt_encoder", "mask_decoder")}
    leaves = list(models.named_leaves(parts))
    vectors = [(path, value) for path, value in leaves if value.ndim == 1]
    return DecoderWeights(
        matrices={path: value for path, value in leaves if value.ndim > 1},
        vectors=jnp.concatenate([value for _, value in vectors]),
        layout=tuple((path, len(value)) for path, value in vectors),
    )


def unpack_weights(weights: DecoderWeights) -> Params:
    """The parameters as the network takes them; under jit at next to no cost."""
    flat, start = dict(weights.matrices), 0
    for path, length in weights.layout:
        flat[path] = weights.vectors[start : start + length]
        start += length
    return traverse_util.unflatten_dict(flat, sep="/")
