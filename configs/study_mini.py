"""The paper's comparison in small: ten modalities, a small general model, two CPU cores.

    python -m samjax.study configs/study_mini.py --dry-run
    python -m samjax.study configs/study_mini.py --page docs/results.md

It makes its own general model first, from photographs. With a published checkpoint and a large
data folder the same comparison is configs/study.py.
"""

import ml_collections

from configs import general, study
from samjax.study import Stage, Study
from samjax.training import experiment

MEDICAL = "../shared/data/samed2d_mini"
PHOTOGRAPHS = "../shared/data/natural_mini"
UNSEEN = ("CVC_ClinicDB", "Shenzhen")
# Batches at half the resolution, where one costs a third, and then at the full.
COARSE, FINE = 1800, 300
# Batches of the same cost, by updates a batch.
_SHARE = {1: 1.4, 3: 1.0, 9: 0.53}


def get_study() -> Study:
    """Every method: 2,100 batches of 8 images with 4 masks each, three updates a batch."""
    return study.comparison(
        _prepare,
        large=512,
        unseen=UNSEEN,
        network=general.get_config().model,
        in_stages=_in_stages,
        data=MEDICAL,
        stages=tuple(Stage(name, _general(name)) for name in general.STAGES),
        general_data=PHOTOGRAPHS,
    )


def _prepare(recipe: ml_collections.ConfigDict) -> None:
    recipe.data.update(root=MEDICAL, batch_size=8, masks_per_image=4, balance="dataset")
    recipe.data.validation_fraction = 0.0
    # Within so few batches adapters that start silent are hardly heard.
    recipe.model.adapter_init = "reference"
    # Light batches, as for the general model: with so few of them, new images teach most.
    recipe.session.update(iterations=3, point_counts=(1, 2, 3), mask_only=False)
    recipe.optim.update(learning_rate=1e-3, schedule="cosine", warmup_steps=50)
    recipe.run.report = False
    recipe.validation.every = 0
    recipe.log.update(every=50, picture_every=0)


def _in_stages(recipe: ml_collections.ConfigDict) -> dict[str, study.Changes]:
    share = _SHARE[recipe.session.iterations]
    coarse = {
        "model.image_size": recipe.model.image_size // 2,
        "session.box_jitter_pixels": recipe.session.box_jitter_pixels / 2,
        "run.steps": int(COARSE * share),
    }
    return {"coarse": coarse, "fine": {"run.steps": int(FINE * share)}}


def _general(stage: str) -> experiment.Experiment:
    recipe = general.get_config(stage)
    recipe.data.root = PHOTOGRAPHS
    recipe.run.report = False
    return experiment.from_config_dict(recipe)
