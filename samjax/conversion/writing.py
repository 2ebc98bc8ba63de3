"""Writing of checkpoints that published PyTorch code loads."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from samjax.conversion import msa, naming, samed, torch_writer
from samjax.models import directory as model_dirs
from samjax.models.config import SamConfig
from samjax.models.directory import Model

_CLASSES = 1000  # Of the classifier in MobileSAM's file.
_WRITABLE = ("none", "sam_med2d", "conv_bottleneck", "msa", "lora")


def to_torch(path: str | Path, model: Model) -> int:
    """Writes a `.pth` file that the published PyTorch code loads; counts the model's part of it.

    The tensors are the parameters; for a TinyViT, those that only its published code has are
    added. Adapters or a decoder of the Medical SAM Adapter are written in its layout
    `{'state_dict': ..., ...}`, LoRA as a SAMed file, which leaves the image encoder to SAM's,
    other adapters, and a model that takes sigmoid mask prompts, in SAM-Med2D's
    `{'model': ..., 'optimizer': None}`, any other model as SAM's flat state dict. Architecture and
    preprocessing travel in the state dict's `_metadata`, which PyTorch ignores and `from_torch`
    reads.

    Args:
        path: The file.
        model: The model.

    Returns:
        Number of the model's parameters in the file.

    Raises:
        OSError: It cannot be written; nothing is left of it.
        ValueError: The model has what no such file holds.
    """
    config = model.config
    kind = config.peft.kind
    if config.head.kind == "prompts":
        raise ValueError(
            f"{path}: expected a head that a published file holds, found model.head.kind=prompts; "
            "the model that it was trained from can be written"
        )
    if kind not in _WRITABLE:
        raise ValueError(
            f"{path}: expected model.peft.kind to be one of {', '.join(_WRITABLE)}, found {kind}, "
            "which no published file holds"
        )
    named = naming.state_dict(model.params).items()
    tensors = {msa.published_name(name, config): tensor for name, tensor in named}
    layout = torch_writer.FLAT
    if kind == "lora":
        try:
            tensors = samed.split(tensors, config)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    elif kind == "msa" or config.two_way == "efficient_sam":
        layout = torch_writer.MSA
    elif config.peft.enabled or model.preprocessing.mask_prompt == "sigmoid":
        layout = torch_writer.SAM_MED2D
    written = sum(tensor.size for tensor in tensors.values())
    if config.encoder == "tiny_vit":
        tensors |= _tiny_vit_extras(tensors, config)
    record = json.dumps(model_dirs.settings(model), indent=2)
    torch_writer.write(path, tensors, layout, record)
    return written


def _tiny_vit_extras(tensors: Mapping[str, np.ndarray], config: SamConfig) -> dict[str, np.ndarray]:
    """Returns unused tensors that the strict loading of the published TinyViT requires."""
    counts = [name for name in tensors if name.endswith(".bn.running_var")]
    extras = {name.replace("running_var", "num_batches_tracked"): np.int64(0) for name in counts}
    if config.patch_size == 16:  # MobileSAM has an untrained classifier, LiteMedSAM none.
        width = config.tiny_vit.dims[-1]
        extras |= {
            "image_encoder.norm_head.weight": np.ones(width),
            "image_encoder.norm_head.bias": np.zeros(width),
            "image_encoder.head.weight": np.zeros((_CLASSES, width)),
            "image_encoder.head.bias": np.zeros(_CLASSES),
        }
    return {name: np.asarray(value) for name, value in extras.items()}
