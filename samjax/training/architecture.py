"""Architecture of a run that starts from a checkpoint, merged with the settings."""

import dataclasses
from collections.abc import Collection

from flax.traverse_util import flatten_dict

from samjax import models
from samjax.models.config import SamConfig

# Fields of the model that the settings decide, whatever the checkpoint.
_RECIPE_FIELDS = ("image_size", "dtype", "remat")
# Fields that change no shape: the settings decide unless they have the default.
_VARIANT_FIELDS = ("window_padding", "pos_embed_size", "two_way")


def merge(
    wanted: SamConfig, checkpoint: SamConfig, path: str, overrides: Collection[str] = ()
) -> SamConfig:
    """Merges the architecture of a checkpoint with the settings.

    Adapters come from the settings. If the checkpoint has adapters, these are trained further, or
    dropped if the settings have none.

    Args:
        wanted: Architecture in the settings. Fields with their default value are not compared,
            except those of the adapters.
        checkpoint: Architecture of the checkpoint.
        path: Path of the checkpoint, for messages.
        overrides: Dotted names of settings that were typed: their default values are compared, too.

    Raises:
        ValueError: The settings contradict the checkpoint; the message names the field.
    """
    wanted_fields, found, defaults = (
        flatten_dict(dataclasses.asdict(config), sep=".")
        for config in (wanted, checkpoint, SamConfig())
    )
    for name, value in wanted_fields.items():
        decided = name in _RECIPE_FIELDS + _VARIANT_FIELDS or name.startswith(("peft.", "head."))
        is_asked_for = value != defaults[name] or f"model.{name}" in overrides
        if not decided and is_asked_for and value != found[name]:
            raise ValueError(
                f"model.{name}: expected {found[name]!r}, as {path} has, whose architecture is "
                f"used, found {value!r}; without init_from any other can be trained"
            )
    peft = wanted.peft
    if wanted.peft.enabled and checkpoint.peft.enabled:
        _check_peft(wanted, checkpoint, path)
        peft = dataclasses.replace(checkpoint.peft, depth=peft.depth or checkpoint.peft.depth)
    ours = {name: getattr(wanted, name) for name in _RECIPE_FIELDS}
    for name in _VARIANT_FIELDS:
        if getattr(wanted, name) != defaults[name]:
            ours[name] = getattr(wanted, name)
    return dataclasses.replace(checkpoint, peft=peft, **ours)


def _check_peft(wanted: SamConfig, checkpoint: SamConfig, path: str) -> None:
    """Checks that the settings do not contradict the adapters of a checkpoint."""
    then, now = checkpoint.peft, wanted.peft
    for name in ("kind", "ratio", "rank", "scale", "targets", "layers", "decoder"):
        if getattr(then, name) == getattr(now, name):
            continue
        other = dataclasses.replace(checkpoint, peft=now)
        if name == "ratio" and models.shapes(other) == models.shapes(checkpoint):
            continue  # A PyTorch file tells a ratio only to within the next whole width.
        raise ValueError(
            f"model.peft.{name}: expected {getattr(then, name)!r}, as the adapters of {path} have, "
            f"which are trained further, found {getattr(now, name)!r}; model.peft.kind=none trains "
            "without them"
        )
