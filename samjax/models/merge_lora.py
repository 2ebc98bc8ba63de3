"""Merging of LoRA into the weights that it updates."""

import dataclasses
import re

import numpy as np
from einops import rearrange
from flax import traverse_util

from samjax.models.config import SamConfig
from samjax.models.parameters import named_leaves
from samjax.models.peft.config import PROJECTIONS, PeftConfig
from samjax.types import Params


def merge_lora(config: SamConfig, params: Params) -> tuple[SamConfig, Params]:
    """Adds the updates of LoRA to the weights that they update.

    The network computes the same without LoRA, and can be written as a SAM checkpoint.

    Args:
        config: Architecture, with `peft.kind` `lora`.
        params: Parameters; they are not changed.

    Returns:
        Architecture without LoRA, and parameters as NumPy arrays.

    Raises:
        ValueError: The network has no LoRA.
    """
    peft = config.peft
    if peft.kind != "lora":
        raise ValueError(f"model.peft.kind: expected lora to merge, found {peft.kind}")
    flat = {path: np.asarray(leaf) for path, leaf in named_leaves(params)}
    merged = {path: leaf for path, leaf in flat.items() if "/adapter/" not in path}
    for block in {path.split("/adapter/")[0] for path in flat.keys() - merged.keys()}:
        adapter, kernel = f"{block}/adapter", f"{block}/attn/qkv/kernel"
        if not block.startswith("image_encoder/"):  # A projection of the decoder.
            kernel = f"{block}/kernel"
            update = flat[f"{adapter}/a/kernel"] @ flat[f"{adapter}/b/kernel"]
            merged[kernel] = flat[kernel] + peft.scale * update
            continue
        updates = [
            peft.scale * flat[f"{adapter}/{name}_a/kernel"] @ flat[f"{adapter}/{name}_b/kernel"]
            if name in peft.targets
            else np.zeros_like(part)
            for name, part in zip(PROJECTIONS, np.split(flat[kernel], 3, axis=1), strict=True)
        ]
        update = np.concatenate(updates, axis=1)
        if stage := re.match(r"image_encoder/layers_(\d+)/", block):  # TinyViT: head by head.
            heads = config.tiny_vit.num_heads[int(stage[1]) - 1]
            order = "i (three n d) -> i (n three d)"
            update = rearrange(update, order, three=len(PROJECTIONS), n=heads)
        merged[kernel] = flat[kernel] + update
    plain = dataclasses.replace(config, peft=PeftConfig("none"))
    return plain, traverse_util.unflatten_dict(merged, sep="/")
