"""The paper's comparison at small scale: ten modalities, a small general model, two CPU cores.

    samjax compare comparison_mini --dry-run
    samjax compare comparison_mini --page docs/results.md

It first trains its own general model on photographs. configs/comparison.py is the same comparison
with a published checkpoint and a large data folder.
"""

import ml_collections

from configs import comparison, general
from samjax.comparison import Comparison, TrainingStage
from samjax.training import config as training_config

MEDICAL = "../shared/data/samed2d_mini"
PHOTOGRAPHS = "../shared/data/natural_mini"
UNSEEN = ("CVC_ClinicDB", "Shenzhen")
# Batches at half the resolution, with a third of the cost, and then at full resolution.
COARSE, FINE = 3200, 360
# Batches of an ablation, at half the resolution only.
SHORT = 400
# Relative number of batches of equal cost, by updates in a batch.
_SHARE = {1: 1.4, 3: 1.0, 9: 0.53}


def get_comparison() -> Comparison:
    """Returns the comparison: 3,560 batches of 8 images with 2 masks, three updates a batch."""
    return comparison.paper_comparison(
        _prepare,
        large=512,
        unseen=UNSEEN,
        network=general.get_config().model,
        stage_changes=_stage_changes,
        short_stage_changes=lambda recipe: {"short": _coarse(recipe, SHORT)},
        # As good as SAM-Med2D's adapters, and better with points, in five sixths of the time.
        base_changes={"model.peft.kind": "conv_bottleneck"},
        data=MEDICAL,
        stages=tuple(TrainingStage(name, _general(name)) for name in general.STAGES),
        general_data=PHOTOGRAPHS,
    )


def _prepare(recipe: ml_collections.ConfigDict) -> None:
    recipe.data.update(root=MEDICAL, batch_size=8, masks_per_image=2, balance="mask")
    recipe.data.validation_fraction = 0.0
    # Cheap batches, as for the general model: with so few of them, new images help most.
    recipe.prompting.update(iterations=3, point_counts=(1, 2, 3), mask_only=False)
    recipe.optim.update(learning_rate=1e-3, schedule="cosine", warmup_steps=50)
    recipe.run.report = False
    recipe.validation.every = 0
    recipe.log.update(every=50, picture_every=0)


def _stage_changes(recipe: ml_collections.ConfigDict) -> dict[str, comparison.Changes]:
    # Low rate: the coarse stage ended at a rate of zero.
    fine = {"optim.learning_rate": 3e-4, "optim.warmup_steps": 10}
    fine["run.steps"] = _batches(recipe, FINE)
    stages = {"coarse": _coarse(recipe, COARSE), "fine": fine}
    # Such short training is better without augmentation, as the ablation shows.
    return {name: {**changes, **comparison.NO_AUGMENTATION} for name, changes in stages.items()}


def _coarse(recipe: ml_collections.ConfigDict, count: int) -> comparison.Changes:
    """Returns the changes for training at half the resolution."""
    return {
        "model.image_size": recipe.model.image_size // 2,
        "prompting.box_jitter_pixels": recipe.prompting.box_jitter_pixels / 2,
        "run.steps": _batches(recipe, count),
    }


def _batches(recipe: ml_collections.ConfigDict, count: int) -> int:
    """Returns the number of batches that cost as much as `count` batches of three updates."""
    return int(count * _SHARE[recipe.prompting.iterations])


def _general(stage: str) -> training_config.Experiment:
    recipe = general.get_config(stage)
    recipe.data.root = PHOTOGRAPHS
    recipe.run.report = False
    return training_config.from_config_dict(recipe)
