r"""The paper's comparison at full size: SAM's ViT-B, tuned on a data folder such as SA-Med2D-20M.

    samjax compare comparison \
        --general sam_vit_b_01ec64.pth --data SAMed2Dv1

`--dry-run` says what it would take, `--methods general ft_sam sam_med2d` makes the paper's table 2
alone, `--seeds 0` all with one seed. The same in small is configs/comparison_mini.py.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections

from configs import ft_sam, reference, sam_med2d
from samjax.comparison import Ablation, Comparison, EvalSetting, Method, TrainingStage
from samjax.training import config as training_config

UPDATES = (1, 3, 9)  # A batch.
ADAPTER_INIT = {"zero": "adding nothing", "kaiming": "as published"}
Changes = Mapping[str, Any]  # Fields of a recipe by dotted name.
# Each as it learns best: a full one that starts silent stays so for hundreds of batches.
ADAPTER_KINDS: dict[str, Changes] = {
    "full": {"model.peft.kind": "sam_med2d", "model.peft.init": "kaiming"},
    "light": {"model.peft.kind": "conv_bottleneck", "model.peft.init": "zero"},
}
# What the stages that a recipe is trained in change in it.
InStages = Callable[[ml_collections.ConfigDict], dict[str, Changes]]


@dataclasses.dataclass(frozen=True)
class Choice:
    """A choice of ours, and what it is to be compared with.

    Attributes:
        question: What is chosen.
        ours: What ours is.
        other: What the alternative is.
        changes: What makes the alternative of ours.
    """

    question: str
    ours: str
    other: str
    changes: Changes


NO_AUGMENTATION: Changes = {
    f"data.augment.{kind}": 0.0 for kind in ("flip", "rotate_degrees", "zoom", "intensity")
}
CHOICES = {
    "reduction": Choice("Dice and IoU", "per mask", "per batch", {"loss.reduction": "batch"}),
    "selection": Choice(
        "The mask that learns",
        "lowest loss",
        "highest predicted IoU",
        {"loss.selection": "predicted_iou"},
    ),
    "points_new": Choice("Points", "accumulated", "only the new ones", {"prompting.points": "new"}),
    "no_augmentation": Choice("Augmentation", "yes", "none", NO_AUGMENTATION),
    "prompts_first": Choice(
        "The prompt encoder learns in",
        "every update",
        "the first",
        {"trainable.prompt_encoder": "first"},
    ),
    "uniform": Choice("Images are drawn", "by their masks", "uniformly", {"data.balance": "none"}),
    "by_dataset": Choice(
        "Images are drawn", "by their masks", "by dataset", {"data.balance": "dataset"}
    ),
}


def paper_comparison(
    prepare: Callable[[ml_collections.ConfigDict], None],
    large: int,
    unseen: tuple[str, ...],
    network: ml_collections.ConfigDict,
    in_stages: InStages,
    in_short: InStages | None = None,
    own: Changes = types.MappingProxyType({}),
    **fields: Any,
) -> Comparison:
    """Tables 2, 3 and 4 of the paper, and what each of our choices is worth.

    Args:
        prepare: Gives a recipe the data and the budget that all methods share.
        large: Side of the larger input that the general model is also tested at, pixels.
        unseen: Datasets that are left out of training, for table 4.
        network: The general model's architecture, to train from fresh parameters as well.
        in_stages: In which stages a recipe is trained, and what each changes in it, such as the
            number of batches, so that all recipes cost the same.
        in_short: The same for the ablations, ours within them included, where a whole training
            for each is too dear; None trains them whole.
        own: What ours differs in from `configs/sam_med2d.py`.
        **fields: Of the comparison.
    """

    def tuned(
        recipe: ml_collections.ConfigDict, changes: Changes, divide: InStages = in_stages
    ) -> tuple[TrainingStage, ...]:
        prepare(recipe)
        recipe.preprocessing_from = "recipe"  # Whatever the general model is: recipes differ in it.
        recipe.update_from_flattened_dict(changes)
        stages = []
        for name, changed in divide(recipe).items():
            stage = recipe.copy_and_resolve_references()
            stage.update_from_flattened_dict(changed)
            stages.append(TrainingStage(name, training_config.from_config_dict(stage)))
        return tuple(stages)

    def ours(changes: Changes, divide: InStages = in_stages) -> tuple[TrainingStage, ...]:
        return tuned(sam_med2d.get_config(), {**own, **changes}, divide)

    def on_unseen(adapters: bool) -> EvalSetting:
        return EvalSetting(adapters, splits=("train", "test"), datasets=unseen)

    scratch = sam_med2d.get_config()
    scratch.model.update(network)
    whole = {"trainable.encoder": "full", "model.peft.kind": "none"}
    as_is = {
        "test": EvalSetting(),
        "padded": EvalSetting(resize="pad_or_stretch"),
        "large": EvalSetting(image_size=large),
        "unseen": on_unseen(True),
    }
    dropped = {"test": EvalSetting(), "dropped": EvalSetting(adapters=False)}
    held_out = {"unseen": on_unseen(True), "unseen_dropped": on_unseen(False)}
    methods = {
        "general": Method("General model", settings=as_is),
        "ft_sam": Method("FT-SAM", tuned(ft_sam.get_config(), {})),
        "sam_med2d": Method("SAM-Med2D", ours({}), settings=dropped),
        "reference": Method("SAM-Med2D, as published", tuned(reference.get_config(), {})),
        "scratch": Method("From scratch", tuned(scratch, whole), from_general=False),
        "held_out": Method("SAM-Med2D", ours({"data.leave_out": unseen}), settings=held_out),
    }
    choices = {**CHOICES, **_by_budget(methods["sam_med2d"].stages[-1].experiment)}
    base = "sam_med2d" if in_short is None else "short"
    if in_short is not None:
        methods[base] = Method("SAM-Med2D, in short", ours({}, in_short))
    for name, choice in choices.items():
        stages = ours(choice.changes, in_short or in_stages)
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


def _by_budget(ours: training_config.Experiment) -> dict[str, Choice]:
    """The choices that the budget decides: what ours does not have are the alternatives."""
    choices = {}
    peft = ours.model.peft
    for init in ADAPTER_INIT.keys() - {peft.init}:
        words = (ADAPTER_INIT[peft.init], ADAPTER_INIT[init])
        choices["adapter_init"] = Choice("Adapters start", *words, {"model.peft.init": init})
    same = next(n for n, fields in ADAPTER_KINDS.items() if fields["model.peft.kind"] == peft.kind)
    for name in ADAPTER_KINDS.keys() - {same}:
        choices[name] = Choice("Adapter", same, name, ADAPTER_KINDS[name])
    for count in UPDATES:
        if count != ours.prompting.iterations:
            words = (str(ours.prompting.iterations), str(count))
            changes = {"prompting.iterations": count}
            choices[f"updates_{count}"] = Choice("Updates a batch, same cost", *words, changes)
    return choices


def get_comparison() -> Comparison:
    """The paper's budget: 12 epochs of batches of 400 images with 5 masks each."""

    def prepare(recipe: ml_collections.ConfigDict) -> None:
        recipe.data.update(batch_size=400, balance="mask", validation_fraction=0.0)
        recipe.run.report = False
        recipe.validation.every = 0

    def in_stages(recipe: ml_collections.ConfigDict) -> dict[str, Changes]:
        # Of the same cost: at this size the encoder, which runs once a batch, is most of it.
        epochs = {1: 14, 3: 14, 9: 12}[recipe.prompting.iterations]
        return {"tuned": {"run.epochs": epochs}}

    return paper_comparison(
        prepare,
        large=1024,
        unseen=(),
        network=sam_med2d.get_config().model,
        in_stages=in_stages,
        data="SAMed2Dv1",
        general="sam_vit_b_01ec64.pth",
    )
