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
STEPS = 500


def get_study() -> Study:
    """Every method: 500 batches of 8 images with 2 masks each, the most that many images have."""
    return study.comparison(
        _prepare,
        large=512,
        unseen=UNSEEN,
        network=general.get_config().model,
        one_update={"run.steps": 4 * STEPS},
        data=MEDICAL,
        stages=tuple(Stage(name, _general(name)) for name in general.STAGES),
        general_data=PHOTOGRAPHS,
    )


def _prepare(recipe: ml_collections.ConfigDict) -> None:
    recipe.data.update(root=MEDICAL, batch_size=8, masks_per_image=2, balance="dataset")
    recipe.data.validation_fraction = 0.0
    recipe.optim.update(learning_rate=5e-4, schedule="cosine", warmup_steps=50)
    recipe.run.update(steps=STEPS, report=False)
    recipe.validation.every = 0
    recipe.log.update(every=50, picture_every=0)


def _general(stage: str) -> experiment.Experiment:
    recipe = general.get_config(stage)
    recipe.data.root = PHOTOGRAPHS
    recipe.run.report = False
    return experiment.from_config_dict(recipe)
