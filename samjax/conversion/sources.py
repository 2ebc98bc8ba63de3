"""Checkpoints as users have them, brought to one form: tensors by SAM's PyTorch names."""

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors

from samjax.conversion import torch_file

_SAM_MED2D_LAYOUT = {"model", "optimizer"}
_IGNORED = (  # What is of no use in any checkpoint, and why.
    (r"pixel_(mean|std)", "a constant of the preprocessing"),
    (r"image_encoder\..*\.bn\.num_batches_tracked", "a count of pre-training batches"),
    (r"image_encoder\.(norm_head|head)\..*", "a classifier that segmentation does not use"),
)
_POSITIONS = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
# Hugging Face's names, each rule applied in turn.
_HUGGING_FACE = (
    (r"^vision_encoder\.", "image_encoder."),
    (r"^image_encoder\.layers\.", "image_encoder.blocks."),
    (r"^image_encoder\.patch_embed\.projection\.", "image_encoder.patch_embed.proj."),
    (r"^image_encoder\.neck\.conv1\.", "image_encoder.neck.0."),
    (r"^image_encoder\.neck\.layer_norm1\.", "image_encoder.neck.1."),
    (r"^image_encoder\.neck\.conv2\.", "image_encoder.neck.2."),
    (r"^image_encoder\.neck\.layer_norm2\.", "image_encoder.neck.3."),
    (r"^(shared_image_embedding|prompt_encoder\.shared_embedding)\.\w+$", _POSITIONS),
    (r"^prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
    (r"^prompt_encoder\.mask_embed\.conv1\.", "prompt_encoder.mask_downscaling.0."),
    (r"^prompt_encoder\.mask_embed\.layer_norm1\.", "prompt_encoder.mask_downscaling.1."),
    (r"^prompt_encoder\.mask_embed\.conv2\.", "prompt_encoder.mask_downscaling.3."),
    (r"^prompt_encoder\.mask_embed\.layer_norm2\.", "prompt_encoder.mask_downscaling.4."),
    (r"^prompt_encoder\.mask_embed\.conv3\.", "prompt_encoder.mask_downscaling.6."),
    (r"^mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
    (r"^mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
    (r"^mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
    (r"(_head|_mlps\.\d+)\.layers\.0\.", r"\1.layers.1."),
    (r"(_head|_mlps\.\d+)\.proj_in\.", r"\1.layers.0."),
    (r"(_head|_mlps\.\d+)\.proj_out\.", r"\1.layers.2."),
    (r"\.layer_norm(\d|_final_attn)\.", r".norm\1."),
)


@dataclasses.dataclass(frozen=True)
class Source:
    """What a checkpoint file holds.

    Attributes:
        tensors: Arrays by SAM's PyTorch names.
        keys: The file's own name of each tensor.
        ignored: What else the file holds and why it is of no use, by the file's names.
        sam_med2d_layout: Whether it is written as SAM-Med2D's training writes it, with the
            optimizer.
        decoder_heads: Attention heads of the decoder, where the file tells.
    """

    tensors: dict[str, np.ndarray]
    keys: dict[str, str]
    ignored: dict[str, str]
    sam_med2d_layout: bool = False
    decoder_heads: int | None = None


def read(path: str | Path) -> Source:
    """Reads a `.pth`, `.pt` or `.safetensors` file, or a directory with `model.safetensors`.

    Raises:
        FileNotFoundError: There is no checkpoint at `path`.
        ValueError: It cannot be read; the message names the file.
    """
    path = Path(path)
    if path.is_dir():
        return _read_hugging_face(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    if path.suffix == ".safetensors":
        return _source(path, _read_safetensors(path))
    found = torch_file.read(path)
    beside = [key for key in found.layout if key != "model"]
    return _source(
        path,
        found.tensors,
        ignored={f"[{key}]": "beside the state dict" for key in beside},
        sam_med2d_layout=set(found.layout) == _SAM_MED2D_LAYOUT,
    )


def _read_hugging_face(path: Path) -> Source:
    weights = path / "model.safetensors"
    if not weights.is_file():
        raise FileNotFoundError(
            f"{path}: expected a samjax model directory (config.json and params/) or a Hugging "
            "Face one (config.json and model.safetensors)"
        )
    heads = None
    config = path / "config.json"
    if config.is_file():
        try:
            fields = json.loads(config.read_text())
            heads = fields.get("mask_decoder_config", {}).get("num_attention_heads")
        except (AttributeError, ValueError) as error:
            raise ValueError(f"{config}: not a model's configuration: {error}") from error
    return _source(weights, _read_safetensors(weights), decoder_heads=heads)


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    # bfloat16 is readable too, since importing jax has made NumPy know it.
    try:
        with safetensors.safe_open(path, "np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, TypeError) as error:
        raise ValueError(f"{path}: not a readable safetensors file: {error}") from error


def _source(
    path: Path,
    found: Mapping[str, np.ndarray],
    ignored: Mapping[str, str] | None = None,
    sam_med2d_layout: bool = False,
    decoder_heads: int | None = None,
) -> Source:
    """Gives the tensors of a file SAM's names, and sets aside what is known to be of no use."""
    tensors, keys, aside = {}, {}, dict(ignored or {})
    hugging_face = any(key.startswith("vision_encoder.") for key in found)
    parallel = bool(found) and all(key.startswith("module.") for key in found)
    for key, tensor in found.items():
        name = key.removeprefix("module.") if parallel else key
        name = _sam_name(name) if hugging_face else name
        if why := next((why for rule, why in _IGNORED if re.fullmatch(rule, name)), None):
            aside[key] = why
        elif name not in tensors:
            tensors[name], keys[name] = tensor, key
        elif np.array_equal(tensors[name], tensor):
            aside[key] = f"the same as {keys[name]}"
        else:
            raise ValueError(f"{path}: {keys[name]} and {key} are both {name}, but differ")
    return Source(tensors, keys, aside, sam_med2d_layout, decoder_heads)


def _sam_name(name: str) -> str:
    for pattern, replacement in _HUGGING_FACE:
        name = re.sub(pattern, replacement, name)
    return name
