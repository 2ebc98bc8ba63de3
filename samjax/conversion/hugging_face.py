"""Reading of the configuration files beside a Hugging Face `SamModel`; unknown settings fail."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samjax.conversion import families
from samjax.data.inputs import Preprocessing
from samjax.models.config import SamConfig

# Section, field, its default where the file omits it, and our field.
_FIELDS = (
    ("vision_config", "image_size", 1024, "image_size"),
    ("vision_config", "patch_size", 16, "patch_size"),
    ("vision_config", "hidden_size", 768, "embed_dim"),
    ("vision_config", "num_hidden_layers", 12, "depth"),
    ("vision_config", "num_attention_heads", 12, "num_heads"),
    ("vision_config", "window_size", 14, "window_size"),
    ("vision_config", "global_attn_indexes", [2, 5, 8, 11], "global_attn_indexes"),
    ("vision_config", "output_channels", 256, "prompt_dim"),
    ("prompt_encoder_config", "hidden_size", 256, "prompt_dim"),
    ("prompt_encoder_config", "image_size", 1024, "image_size"),
    ("prompt_encoder_config", "patch_size", 16, "patch_size"),
    ("prompt_encoder_config", "mask_input_channels", 16, "mask_in_chans"),
    ("mask_decoder_config", "hidden_size", 256, "prompt_dim"),
    ("mask_decoder_config", "num_hidden_layers", 2, "decoder_depth"),
    ("mask_decoder_config", "num_attention_heads", 8, "decoder_heads"),
    ("mask_decoder_config", "mlp_dim", 2048, "decoder_mlp_dim"),
    ("mask_decoder_config", "iou_head_hidden_dim", 256, "iou_head_hidden_dim"),
    ("mask_decoder_config", "num_multimask_outputs", 3, "num_multimask"),
)
# Settings that samjax does not have: section, field, and the values that it computes (the first is
# the default). SAM's own decoder has 1e-5, Hugging Face's conversion of it 1e-6.
_FIXED = (
    ("vision_config", "hidden_act", ("gelu",)),
    ("vision_config", "layer_norm_eps", (1e-6,)),
    ("vision_config", "qkv_bias", (True,)),
    ("vision_config", "use_abs_pos", (True,)),
    ("vision_config", "use_rel_pos", (True,)),
    ("vision_config", "num_channels", (3,)),
    ("prompt_encoder_config", "hidden_act", ("gelu",)),
    ("prompt_encoder_config", "layer_norm_eps", (1e-6,)),
    ("prompt_encoder_config", "num_point_embeddings", (4,)),
    ("mask_decoder_config", "hidden_act", ("relu",)),
    ("mask_decoder_config", "layer_norm_eps", (1e-6, 1e-5)),
    ("mask_decoder_config", "attention_downsample_rate", (2,)),
    ("mask_decoder_config", "iou_head_depth", (3,)),
)
_SECTIONS = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
_PROCESSORS = ("SamImageProcessor", "SamImageProcessorFast", "SamImageProcessorPil")
_BILINEAR = 2  # In Pillow's numbers.
_DIGITS = 6  # After which the division by 255 leaves noise.


@dataclasses.dataclass(frozen=True)
class HuggingFaceSettings:
    """Settings in the files beside the weights.

    Attributes:
        config: Path of `config.json`, whether it exists or not.
        fields: Fields of `SamConfig`, each with its path in `config.json`; empty without the file.
        preprocessing: Preprocessing of images; None without a preprocessor's file.
        preprocessing_file: Name of that file.
    """

    config: Path
    fields: dict[str, tuple[str, Any]]
    preprocessing: Preprocessing | None = None
    preprocessing_file: str = ""

    def complete(self, inferred: SamConfig) -> SamConfig:
        """Adds the settings that the tensors do not show.

        Raises:
            ValueError: The file and the tensors disagree; the message names the field.
        """
        # Where every block's window spans the grid, the tensors show only its side.
        open_fields = {"decoder_heads"}
        if inferred.window_size == inferred.grid_size:
            open_fields |= {"window_size", "global_attn_indexes"}
        for name, (place, value) in self.fields.items():
            found = getattr(inferred, name)
            if name not in open_fields and found != value:
                raise ValueError(
                    f"{self.config}: {place}: expected {found}, as the tensors have it, "
                    f"found {value}"
                )
        settings = {name: value for name, (_, value) in self.fields.items()}
        try:
            config = dataclasses.replace(inferred, **settings)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.config}: {error}") from error
        sides = [config.attention_size(block) for block in range(config.depth)]
        if inferred.window_size == inferred.grid_size and set(sides) != {inferred.grid_size}:
            raise ValueError(
                f"{self.config}: vision_config.window_size: expected {inferred.grid_size}, as the "
                f"tensors have it, found {config.window_size}"
            )
        return config


def read(folder: Path) -> HuggingFaceSettings:
    """Reads `config.json` and the preprocessor's file of a folder, where they exist.

    Raises:
        ValueError: A file is damaged, belongs to another model, or has a setting that samjax
            does not have; the message names file and field.
    """
    path = folder / "config.json"
    if not path.is_file():
        return HuggingFaceSettings(path, {})
    config = _json(path)
    kind = config.get("model_type", "sam")
    if kind != "sam":
        raise ValueError(f"{path}: model_type: expected 'sam', found {kind!r}")
    for section in _SECTIONS:
        if not isinstance(config.setdefault(section, {}), dict):
            raise ValueError(f"{path}: {section}: expected fields, found {config[section]!r}")
    for section, field, allowed in _FIXED:
        value = config[section].get(field, allowed[0])
        if value not in allowed:
            raise ValueError(
                f"{path}: {section}.{field}: expected {_either(allowed)}, found {value!r}"
            )
    fields: dict[str, tuple[str, Any]] = {}
    for section, field, default, ours in _FIELDS:
        value = config[section].get(field, default)
        value = tuple(value) if isinstance(value, list) else value
        place = f"{section}.{field}"
        if type(value) is not type(getattr(SamConfig, ours, ())):
            raise ValueError(f"{path}: {place}: expected what {default!r} is, found {value!r}")
        there, other = fields.setdefault(ours, (place, value))
        if other != value:
            raise ValueError(f"{path}: {place}: expected {other} as in {there}, found {value}")
    grid = fields["image_size"][1] // fields["patch_size"][1]
    embedding_size = config["prompt_encoder_config"].get("image_embedding_size", grid)
    if embedding_size != grid:
        place = "prompt_encoder_config.image_embedding_size"
        raise ValueError(f"{path}: {place}: expected {grid}, found {embedding_size!r}")
    found, name = _preprocessor(folder)
    size = fields["image_size"][1]
    prepared = _preprocessing(folder / name, found, size) if found is not None else None
    return HuggingFaceSettings(path, fields, prepared, name)


def _preprocessor(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """Returns the image processor's fields and file name: its own file, or a section of another."""
    own, whole = "preprocessor_config.json", "processor_config.json"
    if (folder / own).is_file():
        return _json(folder / own), own
    if (folder / whole).is_file():
        section = _json(folder / whole).get("image_processor")
        if isinstance(section, dict):
            return section, whole
    return None, own


def _preprocessing(path: Path, fields: Mapping[str, Any], image_size: int) -> Preprocessing:
    """Returns the preprocessing that an image processor's fields describe."""

    def expect(name: str, allowed: tuple[Any, ...], default: Any) -> Any:
        value = fields.get(name, default)
        if value not in allowed:
            raise ValueError(f"{path}: {name}: expected {_either(allowed)}, found {value!r}")
        return value

    expect("image_processor_type", _PROCESSORS, _PROCESSORS[0])
    expect("do_resize", (True,), True)
    expect("resample", (_BILINEAR,), _BILINEAR)
    known = {"do_resize", "do_rescale", "do_normalize", "do_pad", "do_convert_rgb"}
    for name in fields.keys() - known:
        if name.startswith("do_"):
            expect(name, (False, None), None)
    longest, square = {"longest_edge": image_size}, {"height": image_size, "width": image_size}
    stretched = expect("size", (longest, square), longest) == square
    expect("do_pad", (True, False) if stretched else (True,), True)
    expect("pad_size", (square,), square)
    scale = (
        fields.get("rescale_factor", 1 / 255) if expect("do_rescale", (True, False), True) else 1
    )
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if expect("do_normalize", (True, False), True):
        mean = fields.get("image_mean", (0.485, 0.456, 0.406))
        std = fields.get("image_std", (0.229, 0.224, 0.225))
    try:
        scaled: dict[str, Any] = {
            "mean": tuple(round(value / scale, _DIGITS) for value in mean),
            "std": tuple(round(value / scale, _DIGITS) for value in std),
        }
        resize = "stretch" if stretched else "longest_side"
        return dataclasses.replace(families.SAM_PREPROCESSING, resize=resize, **scaled)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: image_mean, image_std or rescale_factor: {error}") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text("utf-8-sig"))
        if not isinstance(fields, dict):
            raise ValueError(f"expected fields, found a {type(fields).__name__}")
    except ValueError as error:
        raise ValueError(f"{path}: not a model's configuration: {error}") from error
    return fields


def _either(allowed: tuple[Any, ...]) -> str:
    return " or ".join(repr(value) for value in allowed)
