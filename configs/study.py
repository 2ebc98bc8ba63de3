"""The paper's comparison at full size: SAM's ViT-B, tuned on a data folder such as SA-Med2D-20M.

    python -m samjax.study configs/study.py --general sam_vit_b_01ec64.pth --data SAMed2Dv1

`--dry-run` says what it would take, `--methods general ft_sam sam_med2d` makes the paper's table 2
alone, `--seeds 0` all with one seed. The same in small is configs/study_mini.py.
"""

from collections.abc import Callable, Mapping
from typing import Any

import ml_collections

from configs import ft_sam, reference, sam_med2d
from samjax.study import Ablation, Method, Study, Trial
from samjax.training import experiment

Changes = Mapping[str, Any]  # Fields of a recipe by dotted name.

ABLATIONS = {
    "adapter_init": ("Adapters start", "adding nothing", "as published"),
    "reduction": ("Dice and IoU", "per mask", "per batch"),
    "selection": ("The mask that learns", "lowest loss", "highest predicted IoU"),
    "points_new": ("Points", "accumulated", "only the new ones"),
    "no_augmentation": ("Augmentation", "yes", "none"),
    "prompts_first": ("The prompt encoder learns in", "every update", "the first"),
    "one_update": ("Updates a batch", "nine", "one, on more batches"),
    "light": ("Adapter", "full", "light"),
    "uniform": ("Images are drawn", "by dataset", "uniformly"),
    "zoom": ("Zoom", "none", "twofold"),
    "enlarged": ("Small images", "padded", "enlarged"),
}
_CHANGES: dict[str, Changes] = {
    "adapter_init": {"model.adapter_init": "reference"},
    "reduction": {"loss.reduction": "batch"},
    "selection": {"loss.selection": "predicted_iou"},
    "points_new": {"session.points": "new"},
    "no_augmentation": {
        f"data.augment.{kind}": 0.0 for kind in ("flip", "rotate_degrees", "zoom", "intensity")
    },
    "prompts_first": {"trainable.prompt_encoder": "first"},
    "one_update": {"session.iterations": 1},
    "light": {"model.adapter_kind": "light"},
    "uniform": {"data.balance": "none"},
    "zoom": {"data.augment.zoom": 1.0},
    "enlarged": {"input.resize": "longest_side"},
}


def comparison(
    prepare: Callable[[ml_collections.ConfigDict], None],
    large: int,
    unseen: tuple[str, ...],
    network: ml_collections.ConfigDict,
    one_update: Changes,
    **fields: Any,
) -> Study:
    """Tables 2, 3 and 4 of the paper, and what each of our choices is worth.

    Args:
        prepare: Gives a recipe the data and the budget that all methods share.
        large: Side of the larger input that the general model is also tested at, pixels.
        unseen: Datasets that are left out of training, for table 4.
        network: The general model's architecture, to train from fresh parameters as well.
        one_update: How long training with a single update a batch is, to cost the same.
        **fields: Of the study.
    """

    def tuned(recipe: ml_collections.ConfigDict, changes: Changes) -> experiment.Experiment:
        prepare(recipe)
        recipe.input_from = "recipe"  # Whatever the general model is: recipes differ in it.
        recipe.update_from_flattened_dict(changes)
        return experiment.from_config_dict(recipe)

    def ours(changes: Changes) -> experiment.Experiment:
        return tuned(sam_med2d.get_config(), changes)

    def on_unseen(adapters: bool) -> Trial:
        return Trial(adapters, splits=("train", "test"), datasets=unseen)

    scratch = sam_med2d.get_config()
    scratch.model.update(network)
    whole = {"trainable.encoder": "full", "model.adapters": False}
    as_is = {"test": Trial(), "large": Trial(image_size=large), "unseen": on_unseen(True)}
    dropped = {"test": Trial(), "dropped": Trial(adapters=False)}
    held_out = {"unseen": on_unseen(True), "unseen_dropped": on_unseen(False)}
    methods = {
        "general": Method("General model", trials=as_is),
        "ft_sam": Method("FT-SAM", tuned(ft_sam.get_config(), {})),
        "sam_med2d": Method("SAM-Med2D", ours({}), trials=dropped),
        "reference": Method("SAM-Med2D, as published", tuned(reference.get_config(), {})),
        "scratch": Method("From scratch", tuned(scratch, whole), from_general=False),
        "held_out": Method("SAM-Med2D", ours({"data.leave_out": unseen}), trials=held_out),
    }
    changes = {**_CHANGES, "one_update": {**_CHANGES["one_update"], **one_update}}
    for name, (question, _, other) in ABLATIONS.items():
        methods[name] = Method(f"{question}: {other}", ours(changes[name]))
    general, ft, best = (
        (methods[name].title, name, "test") for name in ("general", "ft_sam", "sam_med2d")
    )
    return Study(
        methods=methods,
        overall=(
            general,
            ("General model, large input", "general", "large"),
            ft,
            (methods["reference"].title, "reference", "test"),
            best,
            ("SAM-Med2D*, adapters dropped", "sam_med2d", "dropped"),
            (methods["scratch"].title, "scratch", "test"),
        ),
        by_modality=(general, ft, best),
        unseen=(
            (general[0], "general", "unseen"),
            ("SAM-Med2D*", "held_out", "unseen_dropped"),
            ("SAM-Med2D", "held_out", "unseen"),
        ),
        ablations=tuple(
            Ablation(question, ours, other, name, "sam_med2d")
            for name, (question, ours, other) in ABLATIONS.items()
        ),
        **fields,
    )


def get_study() -> Study:
    """The paper's budget: 12 epochs of batches of 400 images with 5 masks each."""

    def prepare(recipe: ml_collections.ConfigDict) -> None:
        recipe.data.update(batch_size=400, balance="dataset", validation_fraction=0.0)
        recipe.run.report = False
        recipe.validation.every = 0

    return comparison(
        prepare,
        large=1024,
        unseen=(),
        network=sam_med2d.get_config().model,
        one_update={"run.epochs": 48},
        data="SAMed2Dv1",
        general="sam_vit_b_01ec64.pth",
    )
