"""Protocols that a model supports, and masks whose class it knows."""

import dataclasses
import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from samjax.data.files import DataError
from samjax.data.index import Sample
from samjax.data.metadata import Metadata
from samjax.evaluation import protocols
from samjax.evaluation.results import EvalConfig
from samjax.models.directory import Model

_log = logging.getLogger(__name__)


def supported_protocols(model: Model, config: EvalConfig) -> tuple[EvalConfig, tuple[str, ...]]:
    """Selects the protocols of a model.

    A semantic head takes no prompt: `classes` replaces the default protocols. For a model that
    takes box prompts only, those with points are left out.

    Returns:
        The settings with these protocols, and the names of those left out.

    Raises:
        ValueError: No protocol is left, or the model cannot take one.
    """
    names = config.protocols
    if model.config.head.is_semantic:
        if names not in (protocols.DEFAULT, (protocols.CLASSES,)):
            raise ValueError(
                f"protocols: expected {protocols.CLASSES} for a semantic model, which takes no "
                f"prompt, found {', '.join(names)}"
            )
        return dataclasses.replace(config, protocols=(protocols.CLASSES,)), ()
    if protocols.CLASSES in names:
        raise ValueError(
            f"protocols: expected prompts such as {', '.join(protocols.DEFAULT)}, as this model "
            f"predicts masks from prompts (model.head.kind=masks), found {protocols.CLASSES}"
        )
    if model.preprocessing.supports_points:
        return config, ()
    left_out = tuple(name for name in names if protocols.find(name).takes_points)
    if len(left_out) == len(names):
        raise ValueError(
            f"protocols: expected {protocols.BOX} for a model that takes box prompts only "
            f"(preprocessing.point_prompts), found {', '.join(left_out)}"
        )
    if not left_out:
        return config, ()
    _log.warning(
        "left out: %s; this model takes box prompts only (preprocessing.point_prompts)",
        ", ".join(map(protocols.title, left_out)),
    )
    kept = tuple(name for name in names if name not in left_out)
    return dataclasses.replace(config, protocols=kept), left_out


def known_samples(
    model: Model, samples: Sequence[Sample], metadata: Mapping[str, Metadata], config: EvalConfig
) -> tuple[Sequence[Sample], dict[str, int]]:
    """Leaves out the masks of classes that a semantic model lacks, if so configured.

    Returns:
        The images, and the number of masks that were left out, by class.

    Raises:
        DataError: Masks have classes that the model lacks, and `config.other_classes` is `error`;
            or no mask is left.
    """
    if not model.config.head.is_semantic:
        return samples, {}
    known = {each.name for each in model.classes}
    other = Counter(
        metadata[mask].class_name
        for sample in samples
        for mask in sample.masks
        if metadata[mask].class_name not in known
    )
    if not other:
        return samples, {}
    if config.other_classes == "error":
        raise DataError(
            f"classes: expected those that the model has, {', '.join(sorted(known))}, found masks "
            f"of others: {counted(other)}; other_classes=skip leaves them out"
        )
    kept = []
    for sample in samples:
        of_known = [mask for mask in sample.masks if metadata[mask].class_name in known]
        if of_known:
            kept.append(dataclasses.replace(sample, masks=tuple(of_known)))
    if not kept:
        raise DataError(
            f"classes: expected masks of {', '.join(sorted(known))}, found none, but masks of "
            f"others: {counted(other)}"
        )
    return kept, dict(sorted(other.items()))


def counted(masks: Mapping[str, int]) -> str:
    """Returns classes with their numbers of masks, as text: `liver (3), spleen (1)`."""
    return ", ".join(f"{name} ({count})" for name, count in sorted(masks.items()))
