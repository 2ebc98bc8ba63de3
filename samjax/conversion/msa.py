"""Checkpoints of the Medical SAM Adapter (MSA), which name some tensors otherwise than SAM.

Its first version (May 2023) has SAM's decoder and relative positions, with SAM's names. Since
January 2024 the decoder is EfficientSAM's, and both have other names: the names decide which
decoder a file needs. Adapters have one name in all versions.
"""

import dataclasses
import re
from collections.abc import Collection

from samjax.models.config import SamConfig

_ADAPTERS = {"space": "Space_Adapter", "mlp": "MLP_Adapter", "depth": "Depth_Adapter"}
_OF_ADAPTERS = tuple(
    (f".Adapter.{ours}.fc{layer}.", f".{theirs}.D_fc{layer}.")
    for ours, theirs in _ADAPTERS.items()
    for layer in (1, 2)
)
_DECODER = re.compile(r"mask_decoder\.transformer\.layers\.\d+\.mlp\.")
_OF_DECODER = ((".mlp.lin1.", ".mlp.layers.0.0."), (".mlp.lin2.", ".mlp.fc."))
_OF_POSITIONS = ((".attn.rel_pos_h", ".attn.rel_h"), (".attn.rel_pos_w", ".attn.rel_w"))


def sam_name(name: str) -> str:
    """Returns SAM's name, with ours of the adapters, for any version's name of a tensor."""
    for ours, theirs in _rules(name, True):
        name = name.replace(theirs, ours)
    return name


def published_name(name: str, config: SamConfig) -> str:
    """Returns the name that the published code gives a tensor of SAM's name."""
    for ours, theirs in _rules(name, config.two_way == "efficient_sam"):
        name = name.replace(ours, theirs)
    return name


def complete(config: SamConfig, keys: Collection[str]) -> SamConfig:
    """Returns an architecture with what the names of a file's tensors decide.

    Args:
        config: Architecture that the tensors' shapes give.
        keys: The file's names of its tensors.
    """
    if config.peft.kind == "msa" and config.encoder == "vit":
        config = dataclasses.replace(config, window_padding="norm_bias")
    if not any(_DECODER.search(key) and ".mlp.fc." in key for key in keys):
        return config
    side = config.pos_embed_size or (config.grid_size if config.encoder == "vit" else 0)
    return dataclasses.replace(config, two_way="efficient_sam", pos_embed_size=side)


def _rules(name: str, is_new: bool) -> tuple[tuple[str, str], ...]:
    """Returns pairs of our part of a name and theirs."""
    if not is_new:
        return _OF_ADAPTERS
    if _DECODER.match(name):
        return _OF_DECODER
    return _OF_ADAPTERS + _OF_POSITIONS
