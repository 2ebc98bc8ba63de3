"""SAMed's files: LoRA, prompt encoder and decoder, without the SAM that they were trained from.

Source: Zhang and Liu, arXiv 2304.13785, and their code. LoRA's matrices are numbered over all
blocks, two in each: of its queries, then of its values. SAMed_s has such matrices in the decoder's
transformer, too, and leaves the transformer itself to SAM's file.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from samjax.conversion.checkpoint_file import CheckpointContents
from samjax.models import config as model_config
from samjax.models.config import SamConfig
from samjax.models.heads import HeadConfig
from samjax.models.peft import PeftConfig

Tensors = Mapping[str, np.ndarray]

_FIRST = "w_a_000"
_TOKENS = "mask_decoder.mask_tokens.weight"
_ENCODER, _TRANSFORMER = "image_encoder.", "mask_decoder.transformer."
_OF_LAYERS = {  # SAMed_s: the file's names of a layer's attentions, and SAM's.
    "sa": "self_attn",
    "cti": "cross_attn_token_to_image",
    "cit": "cross_attn_image_to_token",
}
_LORA = "{}_proj.Adapter."
_LAST = "fati_qa"  # SAMed_s: of the final attention.
_SIZE, _SAM_SIZE = 512, 1024  # Pixels, of SAMed's training and of SAM's.


def is_delta(tensors: Tensors) -> bool:
    """Whether tensors are those of a SAMed file, which lacks the image encoder."""
    return _FIRST in tensors


def join(
    delta: CheckpointContents, base: CheckpointContents, sam: SamConfig, base_path: str | Path
) -> tuple[CheckpointContents, SamConfig]:
    """Joins a SAMed file with the SAM that it was trained from.

    Args:
        delta: Contents of the SAMed file.
        base: Contents of SAM's file.
        sam: Architecture of that SAM.
        base_path: SAM's file.

    Returns:
        Contents and architecture of the whole network, at SAM's image size.

    Raises:
        ValueError: It is another SAM than the file's.
    """
    _check_base(delta.tensors, sam, base_path)
    config = delta.settings[0] if delta.settings else _adapted(delta.tensors, sam)
    config = dataclasses.replace(config, image_size=sam.image_size)
    names, base_name = _sam_names(config), Path(base_path).name
    own = {names.get(key, key): tensor for key, tensor in delta.tensors.items()}
    kept = {name: tensor for name, tensor in base.tensors.items() if _is_left(name, config)}
    replaced = {key: "the SAMed file has it" for n, key in base.keys.items() if n not in kept}
    ignored = {f"{base_name}: {key}": why for key, why in (base.ignored | replaced).items()}
    joined = dataclasses.replace(
        delta,
        tensors=own | kept,
        keys={names.get(key, key): file_key for key, file_key in delta.keys.items()}
        | {name: f"{base_name}: {base.keys[name]}" for name in kept},
        ignored=delta.ignored | ignored,
        notes=(*delta.notes, *base.notes, f"joined with {base_path}"),
    )
    return joined, config


def image_size(delta: CheckpointContents, sam: SamConfig) -> int:
    """Returns the side of the network's input: of its settings, of a resized SAM, or SAMed's."""
    if delta.settings:
        return delta.settings[0].image_size
    return _SIZE if sam.image_size == _SAM_SIZE else sam.image_size


def split(tensors: Tensors, config: SamConfig) -> dict[str, np.ndarray]:
    """Returns the tensors of a SAMed file, from those of a whole network.

    Args:
        tensors: State dict by SAM's PyTorch names.
        config: Architecture.

    Raises:
        ValueError: Such a file cannot hold the network.
    """
    peft, head = config.peft, config.head.kind
    fits = peft == PeftConfig("lora", rank=peft.rank, decoder=peft.decoder)
    if not fits or head != "semantic" or config.encoder != "vit":
        raise ValueError(
            "expected LoRA as a SAMed file holds it (model.head.kind=semantic, model.encoder=vit, "
            "and of model.peft targets q and v in all blocks, scale 1), found "
            f"model.head.kind={head}, model.encoder={config.encoder}, model.peft={peft}; "
            "samjax.models.merge_lora makes the same model without LoRA, which a SAM file holds"
        )
    names = _sam_names(config)
    lora = {key: tensors[name] for key, name in names.items()}
    rest = tensors.keys() - names.values()
    own = [name for name in tensors if name in rest and not _is_left(name, config)]
    return lora | {name: tensors[name] for name in own}


def _sam_names(config: SamConfig) -> dict[str, str]:
    """Returns our PyTorch names of LoRA's matrices by the file's."""
    blocks = [f"{_ENCODER}blocks.{i}.Adapter.{t}_" for i in range(config.depth) for t in "qv"]
    names = _numbered("w", blocks)
    if config.peft.decoder:
        for key, attention in _OF_LAYERS.items():
            every = [f"{_TRANSFORMER}layers.{i}.{attention}" for i in range(config.decoder_depth)]
            names |= _numbered(key, [f"{each}.{_LORA.format(t)}" for each in every for t in "qv"])
        final = f"{_TRANSFORMER}final_attn_token_to_image.{_LORA}"
        names |= {f"fati_{t}{ab}": f"{final.format(t)}{ab}.weight" for t in "qv" for ab in "ab"}
    return names


def _numbered(key: str, places: list[str]) -> dict[str, str]:
    """Returns the names of both matrices at each place, by the file's."""
    return {
        f"{key}_{part}_{number:03d}": f"{place}{part}.weight"
        for part in "ab"
        for number, place in enumerate(places)
    }


def _is_left(name: str, config: SamConfig) -> bool:
    """Whether a SAMed file leaves a tensor to SAM's file."""
    return name.startswith((_ENCODER, _TRANSFORMER) if config.peft.decoder else _ENCODER)


def _adapted(delta: Tensors, sam: SamConfig) -> SamConfig:
    """Returns the architecture of SAM with the file's LoRA and classes."""
    if _TOKENS not in delta or not delta[_TOKENS].shape[0] > 1:
        raise ValueError(f"expected {_TOKENS} of the background and of each class, found none")
    head = HeadConfig("semantic", delta[_TOKENS].shape[0] - 1)
    peft = PeftConfig("lora", rank=len(delta[_FIRST]), decoder=_LAST in delta)
    return dataclasses.replace(sam, peft=peft, head=head)


def _check_base(delta: Tensors, sam: SamConfig, base_path: str | Path) -> None:
    """Checks that the SAM has the encoder that LoRA was trained in.

    Raises:
        ValueError: It has not.
    """
    matrices = sum(key.startswith("w_a_") for key in delta)
    width = delta[_FIRST].shape[-1]
    expected = _describe(matrices // 2, width)
    found = _describe(sam.depth, sam.embed_dim)
    if sam.encoder == "tiny_vit":
        found = "a TinyViT"
    elif sam.peft.enabled:
        found += f", with adapters of its own ({sam.peft.kind})"
    elif sam.head.is_semantic:
        found += f", with a head of its own ({sam.head.kind})"
    if found != expected:
        raise ValueError(
            f"{base_path}: expected the SAM that LoRA was trained in, {expected}, by {matrices} "
            f"matrices w_a_* of width {width}; found {found}; --base names another file"
        )


def _describe(depth: int, width: int) -> str:
    published = {
        "ViT-B": model_config.vit_b,
        "ViT-L": model_config.vit_l,
        "ViT-H": model_config.vit_h,
    }
    sizes = {name: make() for name, make in published.items()}
    names = [n for n, vit in sizes.items() if (vit.depth, vit.embed_dim) == (depth, width)]
    return f"a ViT of {depth} blocks, {width} wide" + "".join(f" (as {name})" for name in names)
