"""The paper's comparison in small: ten modalities, a small general model, two CPU cores.

    samjax compare comparison_mini --dry-run
    samjax compare comparison_mini --page docs/results.md

It makes its own general model first, from photographs. With a published checkpoint and a large
data folder the same comparison is configs/comparison.py.
"""

import ml_collections

from configs import comparison, general
from samjax.comparison import Comparison, TrainingStage
from samjax.training import config as training_config

MEDICAL = "../shared/data/samed2d_mini"
PHOTOGRAPHS = "../shared/data/natural_mini"
UNSEEN = ("CVC_ClinicDB", "Shenzhen")
# Batches at half the resolution, where one costs a third, and then at the full.
COARSE, FINE = 3200, 360
# Batches of an ablation, at half the resolution alone.
SHORT = 400
# Batches of the same cost, by updates a batch.
_SHARE = {1: 1.4, 3: 1.0, 9: 0.53}


def get_comparison() -> Comparison:
    """Every method: 3,560 batches of 8 images with 2 masks each, three updates a batch."""
    return comparison.paper_comparison(
        _prepare,
        large=512,
        unseen=UNSEEN,
        network=general.get_config().model,
        in_stages=_in_stages,
        in_short=lambda recipe: {"short": _coarse(recipe, SHORT)},
        # As good as full ones, and better with points, in five sixths of the time.
        own={"model.peft.kind": "conv_bottleneck"},
        data=MEDICAL,
        stages=tuple(TrainingStage(name, _general(name)) for name in general.STAGES),
        general_data=PHOTOGRAPHS,
    )


def _prepare(recipe: ml_collections.ConfigDict) -> None:
    recipe.data.update(root=MEDICAL, batch_size=8, masks_per_image=2, balance="mask")
    recipe.data.validation_fraction = 0.0
    # Light batches, as for the general model: with so few of them, new images teach most.
    recipe.prompting.update(iterations=3, point_counts=(1, 2, 3), mask_only=False)
    recipe.optim.update(learning_rate=1e-3, schedule="cosine", warmup_steps=50)
    recipe.run.report = False
    recipe.validation.every = 0
    recipe.log.update(every=50, picture_every=0)


def _in_stages(recipe: ml_collections.ConfigDict) -> dict[str, comparison.Changes]:
    # Gently: the coarse stage ended at a rate of zero.
    fine = {"optim.learning_rate": 3e-4, "optim.warmup_steps": 10}
    fine["run.steps"] = _batches(recipe, FINE)
    stages = {"coarse": _coarse(recipe, COARSE), "fine": fine}
    # Trainings as short as these are better without, as the ablation says.
    return {name: {**changes, **comparison.NO_AUGMENTATION} for name, changes in stages.items()}


def _coarse(recipe: ml_collections.ConfigDict, count: int) -> comparison.Changes:
    """Training at half the resolution."""
    return {
        "model.image_size": recipe.model.image_size // 2,
        "prompting.box_jitter_pixels": recipe.prompting.box_jitter_pixels / 2,
        "run.steps": _batches(recipe, count),
    }


def _batches(recipe: ml_collections.ConfigDict, count: int) -> int:
    """Counts the batches of a recipe that cost what `count` of three updates do."""
    return int(count * _SHARE[recipe.prompting.iterations])


def _general(stage: str) -> training_config.Experiment:
    recipe = general.get_config(stage)
    recipe.data.root = PHOTOGRAPHS
    recipe.run.report = False
    return training_config.from_config_dict(recipe)
