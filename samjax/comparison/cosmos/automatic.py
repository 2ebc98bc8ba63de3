"""Thresholds of S1 for a model of the study: SAM's keep nothing of another model's masks."""

import dataclasses
import logging
from pathlib import Path

from samjax.comparison.cosmos.plan import GRIDS, CosmosStudy
from samjax.data import index
from samjax.data.files import DataError, write_whole
from samjax.evaluation import tune_automatic
from samjax.evaluation.results import EvalConfig
from samjax.inference.automatic_config import AutomaticConfig, encode_settings, read_settings
from samjax.models.directory import Model

IMAGES = 40  # Training images that the thresholds are chosen on, spread evenly.

_log = logging.getLogger(__name__)


def with_settings(part: str, config: EvalConfig, folder: Path) -> EvalConfig | None:
    """Returns the settings of a part with a model's thresholds; None where they are not chosen."""
    path = folder / tune_automatic.NAME
    if part != GRIDS:
        return config
    if not path.exists():
        return None
    return dataclasses.replace(config, automatic=read_settings(path))


def choose(study: CosmosStudy, model: Model, folder: Path) -> None:
    """Chooses a model's thresholds on the split `train`, and writes them into its folder.

    Without such a split, they are SAM's.
    """
    settings, about = AutomaticConfig(), {}
    try:
        samples = index.load_index(study.data, "train")
    except DataError as error:
        _log.warning(
            "S1 with SAM's own thresholds, as there is nothing to choose them on: %s", error
        )
    else:
        limited = EvalConfig(limit=IMAGES)
        settings, about = tune_automatic.tune(model, study.data, samples, limited)
    write_whole(folder / tune_automatic.NAME, encode_settings(settings, about))
