"""Reading of a checkpoint together with its architecture, and with the SAM that it may need."""

import dataclasses
from pathlib import Path

from samjax.conversion import architecture, autosam, checkpoint_file, msa, samed, wrappers
from samjax.conversion.checkpoint_file import CheckpointContents
from samjax.models.config import SamConfig


@dataclasses.dataclass(frozen=True)
class Source:
    """A whole network, as it was read.

    Attributes:
        contents: Contents of its files.
        config: Architecture that the tensors have.
        image_size: Side of the network's input, pixels; another than that of `config` where the
            tensors are still those of the SAM that the network was trained from.
    """

    contents: CheckpointContents
    config: SamConfig
    image_size: int


def read(
    path: str | Path, base: str | Path | None, decoder_heads: int | None, has_seed: bool
) -> Source:
    """Reads a checkpoint.

    Args:
        path: As of `samjax.conversion.from_torch`.
        base: SAM's file, for a checkpoint that leaves a part of the network to it.
        decoder_heads: Number of attention heads in the decoder; None if unknown.
        has_seed: Whether a seed is given, for what only the file should have.

    Raises:
        FileNotFoundError: There is no checkpoint at `path` or `base`.
        ValueError: One cannot be read, or does not determine the architecture, or they do not
            belong together.
    """
    contents = checkpoint_file.read(path)
    is_delta = samed.is_delta(contents.tensors)
    is_head = autosam.is_head_alone(contents)
    if base is not None and not is_delta and not is_head:
        raise ValueError(
            f"{path}: expected a file of SAMed (w_a_000, ...) or of AutoSAM's head alone, which "
            "need a base, found one with an image encoder; convert it without --base"
        )
    if not is_delta:
        try:
            sam = checkpoint_file.read(base) if base is not None else None
            contents = autosam.complete(contents, sam, has_seed)
        except ValueError as error:
            raise ValueError(_at(path, error)) from error
        config = _architecture(path, contents, decoder_heads)
        return Source(contents, config, config.image_size)
    if base is None:
        raise ValueError(
            f"{path}: expected SAM's file beside it, since SAMed's LoRA (w_a_000, ...) leaves the "
            f"image encoder there, found none; `samjax convert from-torch {path} TARGET --base "
            "SAM_FILE` joins them (in Python ConversionOptions(base=...))"
        )
    sam = checkpoint_file.read(base)
    sam_config = _architecture(base, sam, decoder_heads)
    try:
        joined, config = samed.join(contents, sam, sam_config, base)
    except ValueError as error:
        raise ValueError(_at(path, error)) from error
    return Source(joined, config, samed.image_size(contents, sam_config))


def _architecture(
    path: str | Path, contents: CheckpointContents, decoder_heads: int | None
) -> SamConfig:
    """Returns the architecture: from settings in the file, or from tensors and configuration."""
    try:
        config = _found(contents, decoder_heads)
    except ValueError as error:
        raise ValueError(_at(path, error)) from error
    heads = config.decoder_heads if decoder_heads is None else decoder_heads
    return dataclasses.replace(config, decoder_heads=heads)


def _found(contents: CheckpointContents, decoder_heads: int | None) -> SamConfig:
    """Returns the architecture, in which given heads need not be those of the settings."""
    if contents.settings is not None:
        return contents.settings[0]
    beside = contents.beside
    if beside is not None and not beside.fields and decoder_heads is None:
        raise ValueError(
            f"expected {beside.config.name} beside it, since the decoder's attention heads leave "
            "no trace in the tensors, found none; put it there or convert with --decoder-heads"
        )
    try:
        known = SamConfig.decoder_heads if decoder_heads is None else decoder_heads
        config = msa.complete(architecture.infer(contents.tensors, known), contents.keys.values())
    except architecture.MissingTensorError as error:
        found = [
            *contents.keys.values(),
            *(f"{key} ({why})" for key, why in contents.ignored.items()),
        ]
        raise ValueError(f"{error}; {wrappers.unknown_names(found)}") from error
    return config if beside is None or not beside.fields else beside.complete(config)


def _at(path: str | Path, error: Exception) -> str:
    """Returns the error's text, after the file's name unless it names a file of that folder."""
    text = str(error)
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    return text if text.startswith(f"{folder}/") else f"{path}: {text}"
