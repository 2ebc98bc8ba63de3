"""Reading of checkpoint files in all their formats, as tensors by SAM's PyTorch names."""

import dataclasses
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors

from samjax.conversion import file_kinds, hugging_face, msa, torch_file, wrappers
from samjax.data.classes import SemanticClass
from samjax.data.inputs import Preprocessing
from samjax.models import directory
from samjax.models.config import SamConfig

_log = logging.getLogger(__name__)

_FOLDER = (  # Names of weights in a folder; the first that exists is read.
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_SHARD = re.compile(r".*-\d{5}-of-\d{5}\.\w+")
_IGNORED = (  # Tensors that are ignored in every checkpoint, and the reason.
    (r"pixel_(mean|std)", "a constant of the preprocessing"),
    (r"n_averaged", "a count of averaged updates"),
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
class CheckpointContents:
    """The contents of a checkpoint file.

    Attributes:
        tensors: Arrays by SAM's PyTorch names.
        keys: The file's own name of each tensor.
        ignored: Reasons why the file's other entries are ignored, by the file's names.
        notes: Remarks on the reading of the file, such as prefixes that were removed.
        settings: Architecture, preprocessing and classes that `to_torch` wrote into the file; None
            without.
        beside: Settings in Hugging Face's configuration files beside the weights; None where the
            weights are not Hugging Face's.
    """

    tensors: dict[str, np.ndarray]
    keys: dict[str, str]
    ignored: dict[str, str]
    notes: tuple[str, ...] = ()
    settings: tuple[SamConfig, Preprocessing, tuple[SemanticClass, ...]] | None = None
    beside: hugging_face.HuggingFaceSettings | None = None

    def with_tensors(self, tensors: Mapping[str, np.ndarray]) -> "CheckpointContents":
        """Returns the contents with further tensors, or others in place of those they have."""
        keys = {name: name for name in tensors} | self.keys
        return dataclasses.replace(self, tensors=self.tensors | dict(tensors), keys=keys)


def read(path: str | Path) -> CheckpointContents:
    """Reads a `.pth`, `.pt`, `.ckpt`, `.bin` or `.safetensors` file, or a Hugging Face directory.

    The format is recognised by the content. Sharded weights are read by their index.

    Raises:
        FileNotFoundError: There is no checkpoint at `path`.
        ValueError: It cannot be read; the message names the file.
    """
    path = Path(path)
    if path.is_dir():
        path = _in_folder(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    is_index = path.name.lower().endswith(".index.json")
    found = _read_shards(path) if is_index else _read_file(path)
    try:
        return _contents(path, found)
    except ValueError as error:
        start = "" if str(error).startswith(str(path.parent)) else f"{path}: "
        raise ValueError(f"{start}{error}") from error


def _in_folder(folder: Path) -> Path:
    for name in _FOLDER:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"{folder}: expected a samjax model directory (config.json and params/) or a Hugging "
        f"Face one (config.json and one of {', '.join(_FOLDER)}), "
        f"found {', '.join(sorted(each.name for each in folder.iterdir())[:6]) or 'nothing'}"
    )


def _read_file(path: Path) -> torch_file.TorchFile:
    """Reads one file in the format of its content, whatever its name is."""
    named_safetensors = path.suffix.lower() == ".safetensors"
    if file_kinds.kind(path) == "torch":
        return torch_file.read(path)
    found = torch_file.TorchFile(_read_safetensors(path), ())
    if named_safetensors:
        return found
    return dataclasses.replace(found, notes=("it is a safetensors file, whatever its name",))


def _read_shards(index: Path) -> torch_file.TorchFile:
    """Reads all files that an index lists, as one."""
    try:
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        if not shards or not all(Path(shard).name == shard for shard in shards):
            raise ValueError("weight_map: expected names of files beside the index")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{index}: not an index of sharded weights: {error!r}") from error
    tensors: dict[str, np.ndarray] = {}
    for shard in shards:
        if not (index.parent / shard).is_file():
            raise FileNotFoundError(f"{index.parent / shard}: missing, {index.name} lists it")
        tensors |= _read_file(index.parent / shard).tensors
    return torch_file.TorchFile(tensors, (), notes=(f"{len(shards)} files, by {index.name}",))


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    # bfloat16 is readable too, since importing jax has made NumPy know it.
    try:
        with safetensors.safe_open(path, "np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, TypeError) as error:
        raise ValueError(f"{path}: not a readable safetensors file: {error}") from error


def _contents(path: Path, found: torch_file.TorchFile) -> CheckpointContents:
    """Gives the tensors of a file SAM's names, and separates those that are ignored."""
    tensors, keys = {}, {}
    ignored = {f"[{key}]": why for key, why in found.beside.items()}
    for key in (key for key, why in found.beside.items() if why == wrappers.AVERAGE):
        _log.warning("%s: left out %r: %s", path, key, wrappers.AVERAGE)
    names, prefixes = wrappers.strip(found.tensors)
    is_hugging_face = any(name.startswith("vision_encoder.") for name in names.values())
    for key, tensor in found.tensors.items():
        name = _sam_name(names[key]) if is_hugging_face else msa.sam_name(names[key])
        if why := next((why for rule, why in _IGNORED if re.fullmatch(rule, name)), None):
            ignored[key] = why
        elif name not in tensors:
            tensors[name], keys[name] = tensor, key
        elif np.array_equal(tensors[name], tensor):
            ignored[key] = f"the same as {keys[name]}"
        else:
            raise ValueError(f"{keys[name]} and {key} are both {name}, but differ")
    if _SHARD.fullmatch(path.name) and not _is_whole(tensors):
        raise ValueError("one part of sharded weights; give the folder or its .index.json")
    notes = [*found.notes]
    notes += [f"unwrapped from {'.'.join(found.under)}"] if found.under else []
    notes += [f"prefix taken off: {prefix}" for prefix in prefixes]
    return CheckpointContents(
        tensors,
        keys,
        ignored,
        tuple(notes),
        _settings(found.record) if found.record is not None else None,
        hugging_face.read(path.parent) if is_hugging_face else None,
    )


def _settings(record: str) -> tuple[SamConfig, Preprocessing, tuple[SemanticClass, ...]]:
    try:
        return directory.read_settings(json.loads(record))
    except ValueError as error:
        raise ValueError(f"the settings that travel with it: {error}") from error


def _is_whole(tensors: Mapping[str, np.ndarray]) -> bool:
    """Whether there are tensors of all three parts of a network."""
    parts = ("image_encoder.", "prompt_encoder.", "mask_decoder.")
    return all(any(name.startswith(part) for name in tensors) for part in parts)


def _sam_name(name: str) -> str:
    for pattern, replacement in _HUGGING_FACE:
        name = re.sub(pattern, replacement, name)
    return name
