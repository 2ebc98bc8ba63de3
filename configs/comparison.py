r"""The paper's comparison at full size: SAM's ViT-B, fine-tuned on data such as SA-Med2D-20M.

    samjax compare comparison \
        --general sam_vit_b_01ec64.pth --data SAMed2Dv1

`--dry-run` estimates the cost, `--methods general ft_sam sam_med2d` makes only the paper's table 2,
and `--seeds 0` uses one seed. configs/comparison_mini.py is the same comparison at small scale.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections

from configs import ft_sam, reference, sam_med2d
from samjax.comparison import Ablation, Comparison, EvalSetting, Method, TrainingStage
from samjax.training import config as training_config

UPDATES = (1, 3, 9)  # Numbers of updates in a batch.
ADAPTER_INIT = {"zero": "zero", "kaiming": "as published"}
Changes = Mapping[str, Any]  # Fields of a recipe by dotted name.
# By method name, which is a folder in existing comparisons and therefore kept. Each kind has the
# initialisation that trains best: with zeros, a SAM-Med2D adapter does not train for hundreds of
# batches.
ADAPTER_KINDS: dict[str, Changes] = {
    "full": {"model.peft.kind": "sam_med2d", "model.peft.init": "kaiming"},
    "light": {"model.peft.kind": "conv_bottleneck", "model.peft.init": "zero"},
}
ADAPTER_TITLES = {"full": "SAM-Med2D's", "light": "convolution bottleneck"}
# Function from a recipe to the changes of each training stage, by the stage's name.
StageChanges = Callable[[ml_collections.ConfigDict], dict[str, Changes]]


@dataclasses.dataclass(frozen=True)
class DesignChoice:
    """One of our design choices and an alternative to compare with.

    Attributes:
        question: Subject of the choice.
        ours: Our choice.
        other: The alternative.
        changes: Changes to our recipe that make the alternative.
    """

    question: str
    ours: str
    other: str
    changes: Changes


NO_AUGMENTATION: Changes = {
    f"data.augment.{kind}": 0.0 for kind in ("flip", "rotate_degrees", "zoom", "intensity")
}
CHOICES = {
    "reduction": DesignChoice("Dice and IoU", "per mask", "per batch", {"loss.reduction": "batch"}),
    "selection": DesignChoice(
        "Trained mask",
        "lowest loss",
        "highest predicted IoU",
        {"loss.selection": "predicted_iou"},
    ),
    "points_new": DesignChoice(
        "Points", "accumulated", "only the new ones", {"prompting.points": "new"}
    ),
    "no_augmentation": DesignChoice("Augmentation", "yes", "none", NO_AUGMENTATION),
    "prompts_first": DesignChoice(
        "Prompt encoder trained in",
        "every update",
        "the first",
        {"trainable.prompt_encoder": "first"},
    ),
    "uniform": DesignChoice(
        "Sampling of images", "by number of masks", "uniform", {"data.balance": "none"}
    ),
    "by_dataset": DesignChoice(
        "Sampling of images", "by number of masks", "by dataset", {"data.balance": "dataset"}
    ),
}


def paper_comparison(
    prepare: Callable[[ml_collections.ConfigDict], None],
    large: int,
    unseen: tuple[str, ...],
    network: ml_collections.ConfigDict,
    stage_changes: StageChanges,
    short_stage_changes: StageChanges | None = None,
    base_changes: Changes = types.MappingProxyType({}),
    **fields: Any,
) -> Comparison:
    """Returns the comparison for tables 2, 3 and 4 of the paper and for our ablations.

    Args:
        prepare: Sets the data and the budget of a recipe, shared by all methods.
        large: Side of the larger input to evaluate the general model with, pixels.
        unseen: Datasets left out of training, for table 4.
        network: The general model's architecture, which is also trained from fresh parameters.
        stage_changes: Function that returns the stages of training a recipe and the changes of
            each, such as the number of batches, so that all recipes cost the same.
        short_stage_changes: The same for shorter training in ablations, including our base; None
            for training of the usual length.
        base_changes: Changes of our recipe to `configs/sam_med2d.py`.
        **fields: Further fields of the comparison.
    """

    def fine_tuned(
        recipe: ml_collections.ConfigDict, changes: Changes, stages_of: StageChanges = stage_changes
    ) -> tuple[TrainingStage, ...]:
        prepare(recipe)
        recipe.preprocessing_from = "recipe"  # Not from the general model, as recipes differ in it.
        recipe.update_from_flattened_dict(changes)
        stages = []
        for name, changed in stages_of(recipe).items():
            stage = recipe.copy_and_resolve_references()
            stage.update_from_flattened_dict(changed)
            stages.append(TrainingStage(name, training_config.from_config_dict(stage)))
        return tuple(stages)

    def ours(
        changes: Changes, stages_of: StageChanges = stage_changes
    ) -> tuple[TrainingStage, ...]:
        return fine_tuned(sam_med2d.get_config(), {**base_changes, **changes}, stages_of)

    def on_unseen(adapters: bool) -> EvalSetting:
        return EvalSetting(adapters, splits=("train", "test"), datasets=unseen)

    scratch = sam_med2d.get_config()
    scratch.model.update(network)
    full_fine_tuning = {"trainable.encoder": "full", "model.peft.kind": "none"}
    general_settings = {
        "test": EvalSetting(),
        "padded": EvalSetting(resize="pad_or_stretch"),
        "large": EvalSetting(image_size=large),
        "unseen": on_unseen(True),
    }
    dropped = {"test": EvalSetting(), "dropped": EvalSetting(adapters=False)}
    held_out = {"unseen": on_unseen(True), "unseen_dropped": on_unseen(False)}
    methods = {
        "general": Method("General model", settings=general_settings),
        "ft_sam": Method("FT-SAM", fine_tuned(ft_sam.get_config(), {})),
        "sam_med2d": Method("SAM-Med2D", ours({}), settings=dropped),
        "reference": Method("SAM-Med2D, as published", fine_tuned(reference.get_config(), {})),
        "scratch": Method(
            "From scratch", fine_tuned(scratch, full_fine_tuning), from_general=False
        ),
        "held_out": Method("SAM-Med2D", ours({"data.leave_out": unseen}), settings=held_out),
    }
    choices = {**CHOICES, **_budget_choices(methods["sam_med2d"].stages[-1].experiment)}
    base = "sam_med2d" if short_stage_changes is None else "short"
    if short_stage_changes is not None:
        methods[base] = Method("SAM-Med2D, short training", ours({}, short_stage_changes))
    for name, choice in choices.items():
        stages = ours(choice.changes, short_stage_changes or stage_changes)
        methods[name] = Method(f"{choice.question}: {choice.other}", stages)
    general, ft, best = (
        (methods[name].title, name, "test") for name in ("general", "ft_sam", "sam_med2d")
    )
    return Comparison(
        methods=methods,
        overall=(
            ("General model, small images padded", "general", "padded"),
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
            Ablation(choice.question, choice.ours, choice.other, name, base)
            for name, choice in choices.items()
        ),
        **fields,
    )


def _budget_choices(ours: training_config.Experiment) -> dict[str, DesignChoice]:
    """Returns the choices that depend on the budget; alternatives are the values not in ours."""
    choices = {}
    peft = ours.model.peft
    for init in ADAPTER_INIT.keys() - {peft.init}:
        titles = (ADAPTER_INIT[peft.init], ADAPTER_INIT[init])
        choices["adapter_init"] = DesignChoice(
            "Adapter initialisation", *titles, {"model.peft.init": init}
        )
    same = next(n for n, fields in ADAPTER_KINDS.items() if fields["model.peft.kind"] == peft.kind)
    for name in ADAPTER_KINDS.keys() - {same}:
        choices[name] = DesignChoice(
            "Adapter", ADAPTER_TITLES[same], ADAPTER_TITLES[name], ADAPTER_KINDS[name]
        )
    for count in UPDATES:
        if count != ours.prompting.iterations:
            counts = (str(ours.prompting.iterations), str(count))
            changes = {"prompting.iterations": count}
            choices[f"updates_{count}"] = DesignChoice(
                "Updates a batch, same cost", *counts, changes
            )
    return choices


def get_comparison() -> Comparison:
    """Returns the comparison with the paper's budget: 12 epochs, 400 images of 5 masks a batch."""

    def prepare(recipe: ml_collections.ConfigDict) -> None:
        recipe.data.update(batch_size=400, balance="mask", validation_fraction=0.0)
        recipe.run.report = False
        recipe.validation.every = 0

    def stage_changes(recipe: ml_collections.ConfigDict) -> dict[str, Changes]:
        # Equal cost: at this size most of it is the encoder, which runs once for each batch.
        epochs = {1: 14, 3: 14, 9: 12}[recipe.prompting.iterations]
        return {"tuned": {"run.epochs": epochs}}

    return paper_comparison(
        prepare,
        large=1024,
        unseen=(),
        network=sam_med2d.get_config().model,
        stage_changes=stage_changes,
        data="SAMed2Dv1",
        general="sam_vit_b_01ec64.pth",
    )
