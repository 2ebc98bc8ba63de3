"""Mapping of names and axes between PyTorch and samjax.

PyTorch's `blocks.0.attn.qkv.weight` is our `blocks_0/attn/qkv/kernel`. Numbers join the part
before them, the adapter gets a lower-case name, and a batch norm's `running_mean` and `running_var`
are `mean` and `var`. PyTorch's `weight` is a `scale` in a norm, a `kernel` in a linear or
convolutional layer, and has no name of its own in an embedding. Kernels change their axes: (out,
in) to (in, out), (out, in, h, w) and, in a transposed convolution, (in, out, h, w) to (h, w, in,
out). The adapter's transposed 4x4 kernel is further cut by row and column parity
(`samjax.models.layers.ConvTranspose4x4`). Both directions are exact.
"""

import re

import numpy as np
from einops import rearrange

from samjax import models
from samjax.types import Params

_EMBEDDING = re.compile(
    r"(point_embeddings_\d+|not_a_point_embed|no_mask_embed|iou_token|mask_tokens)$"
)
_TRANSPOSED = re.compile(r"(output_upscaling_\d+|mask_decoder/blocks_\d+_4)/kernel$")
_OWN_POSITIONS = "mask_decoder/pe_layer/"  # AutoSAM's lie beside the decoder.
_BY_PARITY = re.compile(r"adapter/spatial_2/kernel$")
_TORCH_4X4, _OUR_4X4 = "i o (a p) (b q)", "p q a b i o"


def torch_name(path: str) -> str:
    """Returns PyTorch's name of the tensor at our `path`."""
    leaf = f"{path}/weight" if _EMBEDDING.search(path) else path
    leaf = leaf.removeprefix("mask_decoder/") if leaf.startswith(_OWN_POSITIONS) else leaf
    name = re.sub(r"/(kernel|scale)$", "/weight", leaf).replace("/adapter/", "/Adapter/")
    name = re.sub(r"/bn/(mean|var)$", r"/bn/running_\1", name)
    numbered = re.sub(r"(_\d+)+(?=/|$)", lambda found: found[0].replace("_", "."), name)
    return numbered.replace("/", ".")


def from_torch(path: str, tensor: np.ndarray) -> np.ndarray:
    """Returns PyTorch's tensor with the axes of our `path`."""
    if _BY_PARITY.search(path):
        return rearrange(tensor, f"{_TORCH_4X4} -> {_OUR_4X4}", p=2, q=2)
    return tensor.transpose(_axes(path, tensor.ndim))


def to_torch(path: str, leaf: np.ndarray) -> np.ndarray:
    """Returns our leaf at `path` with PyTorch's axes."""
    if _BY_PARITY.search(path):
        return rearrange(leaf, f"{_OUR_4X4} -> {_TORCH_4X4}")
    return leaf.transpose(np.argsort(_axes(path, leaf.ndim)))


def torch_shape(path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of PyTorch's tensor where our leaf at `path` has `shape`."""
    return to_torch(path, np.broadcast_to(np.float32(0), shape)).shape


def state_dict(params: Params) -> dict[str, np.ndarray]:
    """Returns all parameters by PyTorch's names, with PyTorch's axes."""
    leaves = models.named_leaves(params)
    return {torch_name(path): to_torch(path, np.asarray(leaf)) for path, leaf in leaves}


def _axes(path: str, ndim: int) -> tuple[int, ...]:
    """Returns the permutation from PyTorch's axes to ours."""
    if not path.endswith("/kernel"):
        return tuple(range(ndim))
    if ndim == 2:
        return (1, 0)
    return (2, 3, 0, 1) if _TRANSPOSED.search(path) else (2, 3, 1, 0)
