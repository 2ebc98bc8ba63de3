"""Twenty labelled images: class-wise automatic prompts, SAMed, AutoSAM's heads and a U-Net.

    samjax compare compare_few --dry-run
    samjax compare compare_few --general MODEL

The data set is the one with the most test images of two classes or more, counted before any
training. Of its training images, 20 are drawn, one of each subject, and four of them are held out:
class prompts choose their thresholds by these. All methods with the same seed have the same
images, and each seed has its own. Sizes, schedule and general model are those of
`configs/compare_methods.py`, whose choice of learning rates is used: 2e-3 for all.
"""

from collections.abc import Mapping

import ml_collections

from configs import class_prompts, comparison, medsam_v0, samed, unet
from configs.compare_methods import CHANGES, MEDICAL, SIDE, general_experiment
from samjax.comparison import Comparison, EvalSetting, Method, TrainingStage
from samjax.training import config as training_config

DATASET = "Hippocampus"
LEFT_OUT = (
    *("ACDC", "BUSI", "BraTS2023", "CHASE_DB1", "CURVAS", "CVC_ClinicDB", "IBSI_STS", "ISBI_EM"),
    *("ISIC2018", "KiTS19", "Montgomery", "Prostate158", "SAMMed2D_demo", "Shenzhen", "TNBC"),
    "TotalSegmentator",
)
IMAGES = 20
RATE = 2e-3
# Batches of a training: as many as take 30 seconds of one core, by the seconds that
# `docs/methods_compared.md` measured, and for `prompts` by ours. The page has what they took.
BATCHES = {
    "prompts": 900,
    "tuned_prompts": 450,
    "samed": 165,
    "autosam": 185,
    "autosam_cnn": 230,
    "unet": 38,
}
BOX_BATCHES = 160  # Of the decoder, by boxes, before `tuned_prompts`: the other half of its time.


def get_comparison() -> Comparison:
    """Returns the comparison."""
    settings = {"test": EvalSetting(datasets=(DATASET,), protocols=("classes",))}
    titles = {
        "prompts": "Class prompts, general model",
        "tuned_prompts": "Class prompts, decoder tuned by boxes first",
        "samed": "SAMed",
        "autosam": "AutoSAM",
        "autosam_cnn": "AutoSAM, CNN head",
        "unet": "U-Net",
    }
    recipes = {"prompts": class_prompts, "tuned_prompts": class_prompts, "unet": unet}
    methods = {}
    for name, title in titles.items():
        recipe = recipes.get(name, samed)
        stages = [_stage("train", recipe.get_config(), BATCHES[name], CHANGES.get(name, {}))]
        if name == "tuned_prompts":
            box = CHANGES["medsam_v0"]
            stages.insert(0, _stage("decoder", medsam_v0.get_config(), BOX_BATCHES, box))
        methods[name] = Method(
            title, tuple(stages), from_general=recipe is not unet, settings=settings
        )
    return Comparison(
        data=MEDICAL,
        methods=methods,
        stages=(TrainingStage("coarse", general_experiment()),),
        protocols=("classes",),
        side_by_side=tuple((one.title, name, "test") for name, one in methods.items()),
    )


def _stage(
    name: str, recipe: ml_collections.ConfigDict, batches: int, changes: Mapping[str, object]
) -> TrainingStage:
    common = {
        "model.image_size": SIDE,
        "preprocessing_from": "checkpoint",
        "data.batch_size": 8,
        "data.masks_per_image": 2,
        "data.images": IMAGES,
        "data.leave_out": LEFT_OUT,
        "data.validation_fraction": 0.2,
        "data.check": "none",
        **comparison.NO_AUGMENTATION,
        "optim.learning_rate": RATE,
        "optim.schedule": "cosine",
        "optim.warmup_steps": 10,
        "run.steps": batches,
        "run.report": False,
        "validation.every": batches,
        "log.every": 5,
        "log.picture_every": 0,
    }
    recipe.update_from_flattened_dict({**common, **changes})
    return TrainingStage(name, training_config.from_config_dict(recipe))
