"""All methods of adapting SAM, side by side: same general model, images, core seconds and seeds.

    samjax compare compare_methods --dry-run
    samjax compare compare_methods --page docs/methods_compared.md

Everything is at 128 x 128 pixels. It first trains its own general model on photographs, by
`configs/general.py:coarse`; `--general MODEL` starts from one that is there. Of each method, the
learning rate is chosen on held-out subjects of the training images. The recipes are those of the
methods, with the changes that are made here to all: no augmentation, one schedule, one kind of
batch. The number of batches differs, so that all take equally long on one core.
"""

from collections.abc import Mapping
from typing import Any

import ml_collections

from configs import (
    comparison,
    ft_sam,
    full,
    general,
    medsam,
    medsam_v0,
    msa,
    sam_med2d,
    samed,
    unet,
)
from samjax.comparison import Comparison, EvalSetting, Method, TrainingStage
from samjax.training import config as training_config

MEDICAL = "../shared/data/samed2d_mini"
PHOTOGRAPHS = "../shared/data/natural_mini"
SIDE = 128
# Datasets with at least 20 training images of every class, counted before any training; a method
# without a prompt cannot learn a class from a few images.
TESTED = (
    *("BUSI", "CVC_ClinicDB", "Hippocampus", "IBSI_STS", "ISIC2018", "Montgomery", "Shenzhen"),
)
LEFT_OUT = (
    *("ACDC", "BraTS2023", "CHASE_DB1", "CURVAS", "ISBI_EM", "KiTS19", "Prostate158"),
    *("SAMMed2D_demo", "TNBC", "TotalSegmentator"),
)
RATES = (5e-4, 2e-3)
# Batches of a training: as many as take 105 seconds of one core, as measured (`images_per_cpu_s` in
# `metrics.jsonl`). The page has the seconds that each training really took.
BATCHES = {
    "full": 241,
    "ft_sam": 561,
    "sam_med2d": 360,
    "msa": 549,
    "medsam": 349,
    "medsam_v0": 1093,
    "samed": 576,
    "samed_s": 589,
    "autosam": 642,
    "autosam_cnn": 796,
    "unet": 148,
}
_BOXES = ("bbox", "bbox_grow10", "bbox_jitter", "bbox_x5")
BOTH = (*_BOXES, "1pt")
CLICK = ("1pt",)
NONE = ("classes",)


def get_comparison() -> Comparison:
    """Returns the comparison."""
    trained = {
        "full": ("Full fine-tuning", full, BOTH),
        "ft_sam": ("FT-SAM", ft_sam, BOTH),
        "sam_med2d": ("SAM-Med2D", sam_med2d, BOTH),
        "msa": ("MSA", msa, CLICK),
        "medsam": ("MedSAM", medsam, _BOXES),
        "medsam_v0": ("MedSAM, first version", medsam_v0, _BOXES),
        "samed": ("SAMed", samed, NONE),
        "samed_s": ("SAMed_s", samed, NONE),
        "autosam": ("AutoSAM", samed, NONE),
        "autosam_cnn": ("AutoSAM, CNN head", samed, NONE),
        "unet": ("U-Net", unet, NONE),
    }
    methods = {"general": Method("General model", settings=_settings(BOTH))}
    for name, (title, recipe, protocols) in trained.items():
        grid = tuple(_variant(name, recipe.get_config(), protocols, rate) for rate in RATES)
        from_general = recipe is not unet
        methods[name] = Method(
            title, from_general=from_general, settings=_settings(protocols), grid=grid
        )
    return Comparison(
        data=MEDICAL,
        methods=methods,
        stages=(TrainingStage("coarse", general_experiment()),),
        protocols=BOTH,
        side_by_side=tuple((one.title, name, "test") for name, one in methods.items()),
    )


def _settings(protocols: tuple[str, ...]) -> Mapping[str, EvalSetting]:
    return {"test": EvalSetting(datasets=TESTED, protocols=protocols)}


def _variant(
    name: str, recipe: ml_collections.ConfigDict, protocols: tuple[str, ...], rate: float
) -> TrainingStage:
    changes = {**_common(BATCHES[name], protocols, rate), **CHANGES.get(name, {})}
    recipe.update_from_flattened_dict(changes)
    return TrainingStage(f"rate_{rate:.0e}", training_config.from_config_dict(recipe))


def _common(batches: int, protocols: tuple[str, ...], rate: float) -> comparison.Changes:
    """Returns the changes to every recipe."""
    return {
        "model.image_size": SIDE,
        "preprocessing_from": "checkpoint",  # That of the general model, for all.
        "data.batch_size": 8,
        "data.masks_per_image": 2,
        "data.balance": "mask",
        "data.leave_out": LEFT_OUT,
        "data.validation_fraction": 0.2,
        "data.check": "none",
        # Such short training is better without (docs/results.md).
        **comparison.NO_AUGMENTATION,
        "optim.learning_rate": rate,
        "optim.schedule": "cosine",
        "optim.warmup_steps": 10,
        "run.steps": batches,
        "run.report": False,
        "validation.every": batches,
        # One of each kind of prompt: the choice shall not depend on the number of box protocols.
        "validation.evaluation.protocols": tuple(p for p in protocols if "_" not in p),
        "validation.evaluation.limit": 150,
        "log.every": 5,
        "log.picture_every": 0,
    }


# Boxes and clicks as in the small comparison of the paper; pixels for the smaller input.
_INTERACTIVE = {
    "prompting.iterations": 3,
    "prompting.point_counts": (1, 2, 3),
    "prompting.mask_only": False,
    "prompting.box_jitter_pixels": 2.5,
}
_AUTOSAM = {
    "model.peft.kind": "none",
    "trainable.encoder": "frozen",
    "class_loss.ce_weight": 1.0,
    "class_loss.dice_weight": 1.0,
    "class_loss.at": "input",
    "class_loss.background": False,
    "class_loss.smooth": 1.0,
    "class_loss.positive_only": True,
    "optim.weight_decay": 0.0,
}
CHANGES: Mapping[str, Mapping[str, Any]] = {
    "samed_s": {"model.peft.decoder": True, "trainable.decoder": "without_transformer"},
    "full": _INTERACTIVE,
    "ft_sam": _INTERACTIVE,
    "sam_med2d": {**_INTERACTIVE, "model.peft.kind": "conv_bottleneck"},
    "autosam": {**_AUTOSAM, "model.head.kind": "autosam"},
    "autosam_cnn": {**_AUTOSAM, "model.head.kind": "cnn", "model.head.width": 16},
    # Narrow: with the general model's 3.3 million parameters it would see a dozen batches.
    "unet": {
        "preprocessing.resize": "stretch",
        "model.unet_widths": (8, 24, 48, 96, 192),
        "model.prompt_dim": 8,
        "model.decoder_heads": 4,
    },
    "medsam": {"prompting.box_jitter_pixels": 2.0},
    "medsam_v0": {"prompting.box_jitter_pixels": 2.0},
}


def general_experiment() -> training_config.Experiment:
    """Returns the settings of the general model's training."""
    recipe = general.get_config("coarse")
    recipe.data.root = PHOTOGRAPHS
    recipe.run.report = False
    return training_config.from_config_dict(recipe)
