"""Preparation of a run: data, which are checked, and initial parameters."""

import dataclasses
import json
import logging
from collections.abc import Collection, Mapping
from pathlib import Path

import jax
import numpy as np

from samjax import conversion, fields, models
from samjax.data import classes, draw, fingerprint, index, phantoms, quality, split_table
from samjax.data.classes import SemanticClass
from samjax.data.files import DataError, write_whole
from samjax.data.index import Sample
from samjax.models.directory import Model
from samjax.training import architecture, sharding
from samjax.training.config import Experiment

BAD_FILES = "bad_files.json"
DATA_TABLE = "data.csv"

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Images of a run.

    Attributes:
        root: The data folder.
        train: Images to train on.
        validation: Held-out images; empty without validation.
        table: Table of all images, with digests if they were checked, as CSV (see
            `samjax.data.split_table`).
        overlaps: Semantic training: overlaps of masks of different classes, which a label map
            cannot hold; None if the files were not checked.
    """

    root: Path
    train: list[Sample]
    validation: list[Sample]
    table: bytes
    overlaps: classes.Overlaps | None = None


def prepare_data(experiment: Experiment, workdir: Path) -> TrainingData:
    """Indexes the data, checks every file, and holds subjects out for validation.

    Problems are written to `WORKDIR/bad_files.json`.

    Raises:
        DataError: There are no usable data, a dataset of `data.leave_out` does not exist, or there
            is a bad file and `data.on_bad` is `error`.
        ValueError: `data.root` is empty.
    """
    config = experiment.data
    root = Path(config.root)
    if experiment.run.phantoms:
        root = workdir / "phantoms"
        with sharding.first_process_first():
            phantoms.write_phantoms(root, experiment.phantoms)
    elif not config.root:
        raise ValueError("data.root: expected the path of a data folder, found none")
    if experiment.run.report:
        _check_test_split(root)
    samples = index.drop_datasets(index.load_index(root, "train"), config.leave_out)
    samples = draw.draw_images(samples, config.images, config.seed)
    described: dict[str, str] = {}
    overlaps = None
    if config.check == "all":
        samples, described, overlaps = _checked(experiment, root, samples, workdir)
    held_out: list[Sample] = []
    if config.validation_fraction > 0:
        samples, held_out = index.hold_out(samples, config.validation_fraction, config.seed)
    table = split_table.build(samples, held_out, described)
    return TrainingData(root, samples, held_out, table, overlaps)


def find_classes(experiment: Experiment, data: TrainingData) -> tuple[SemanticClass, ...]:
    """Returns the classes of a semantic head, in the order of their labels; none for masks.

    Raises:
        DataError: The class of a mask is unknown, or no mask has one of the classes.
        ValueError: `data.classes` are set for a head of masks, or the head has another number.
    """
    head, names = experiment.model.head, experiment.data.classes
    if not head.is_semantic:
        if names:
            raise ValueError(
                "data.classes: expected none with model.head.kind=masks, which learns the masks "
                f"of any class, found {', '.join(names)}; model.head.kind=semantic has classes"
            )
        return ()
    samples = [*data.train, *data.validation]
    found = sorted(set(classes.class_names(data.root, samples).values()))
    if absent := [name for name in names if name not in found]:
        raise DataError(
            f"data.classes: expected some of {', '.join(found)}, the classes of the training "
            f"images of {data.root}, found {', '.join(absent)}"
        )
    with fields.naming("data.{}".format):
        used = classes.with_colors(names or found)
    if head.classes not in (0, len(used)):
        raise ValueError(
            f"model.head.classes: expected {len(used)}, the number of classes, or 0, which takes "
            f"it from the data, found {head.classes}"
        )
    return used


def check_length(experiment: Experiment, data: TrainingData) -> None:
    """Warns of settings that the length of the run leaves without effect.

    Raises:
        ValueError: `validation.patience` is set and the run ends before its first validation.
    """
    every, patience = experiment.validation.every, experiment.validation.patience
    total, _ = experiment.length(len(data.train))
    if every > total:
        found = f"the run has {total} batches and ends before its first validation"
        if patience:
            raise ValueError(
                f"validation.patience: expected validation.every = {every} to be at most {total}: "
                f"{found}"
            )
        _log.warning("validation.every = %d: %s; there will be no best model", every, found)
    if data.validation and not every:
        _log.warning(
            "data.validation_fraction = %g holds %d images out that validation.every = 0 never "
            "looks at",
            experiment.data.validation_fraction,
            len(data.validation),
        )


def warn_of_leakage(experiment: Experiment, data: TrainingData) -> None:
    """Warns if the run that wrote `init_from` trained on subjects of the validation set."""
    table = Path(experiment.init_from).parent / DATA_TABLE
    if not experiment.init_from or not table.is_file():
        return
    trained_on = set(split_table.summarize(table.read_bytes())["training"]["subjects"])
    held = {sample.subject for sample in data.validation}
    if leaked := trained_on & held:
        _log.warning(
            "init_from = %s was trained on %d of the %d subjects to validate on: their scores, and "
            "the best model by them, are too good",
            experiment.init_from,
            len(leaked),
            len(held),
        )


def prepare_model(
    experiment: Experiment,
    overrides: Collection[str] = (),
    used_classes: tuple[SemanticClass, ...] = (),
) -> Model:
    """Initialises the parameters, or loads those of `init_from`.

    Args:
        experiment: Settings of the run.
        overrides: Dotted names of the settings that were typed, see `samjax.training.architecture`.
        used_classes: Classes of a semantic head.

    Raises:
        FileNotFoundError: `init_from` does not exist.
        ValueError: It cannot be used, or `init_family` is set without it.
    """
    config = experiment.model
    head = dataclasses.replace(config.head, classes=len(used_classes))
    config = dataclasses.replace(config, head=head)
    if not experiment.init_from and head.kind == "prompts":
        raise ValueError(
            "init_from: expected a model of masks, whose encoder and decoder answer the prompts of "
            "model.head.kind=prompts, found none"
        )
    if not experiment.init_from:
        if experiment.init_family:
            raise ValueError(
                "init_family: expected none where no init_from says which checkpoint it is of, "
                f"found {experiment.init_family!r}"
            )
        key = jax.random.fold_in(jax.random.key(experiment.run.seed), 1)
        return Model(config, experiment.preprocessing, models.init(config, key), used_classes)
    path = experiment.init_from
    family = experiment.init_family or None
    loaded = conversion.load_or_convert(
        path,
        config.image_size,
        config.peft,
        head=(config.head, used_classes),
        pos_embed_size=config.pos_embed_size,
        fresh=experiment.init_fresh,
        seed=experiment.run.seed,
        family=family,
    )
    if loaded.config.head.kind != config.head.kind:
        raise ValueError(
            f"model.head.kind: expected {loaded.config.head.kind}, as {path} has, found "
            f"{config.head.kind}; a model of masks can be given any head"
        )
    if used_classes and loaded.classes != used_classes:
        raise ValueError(
            f"data.classes: expected those of {path}, {_names(loaded.classes)}, found "
            f"{_names(used_classes)}; a model of masks can be given any classes"
        )
    if head.kind == "prompts":  # All but the head stays as it is, adapters included.
        config = dataclasses.replace(config, peft=loaded.config.peft)
    network = architecture.merge(config, loaded.config, path, overrides)
    params = loaded.params
    if not config.peft.enabled:
        params = models.without_adapters(params)
    small = loaded.config.encoder == "tiny_vit"
    kept = experiment.preprocessing_from == "checkpoint" or (
        experiment.preprocessing_from == "auto" and small
    )
    preprocessing = loaded.preprocessing if kept else experiment.preprocessing
    then, now = dataclasses.asdict(loaded.preprocessing), dataclasses.asdict(preprocessing)
    changed = [
        f"{name} {then[name]!r}, now {now[name]!r}"
        for name in then
        if then[name] != now[name] and name != "point_prompts"  # That prepares no image.
    ]
    if changed:
        _log.warning(
            "%s was trained on images prepared in another way (preprocessing_from decides): %s",
            path,
            ", ".join(changed),
        )
    return Model(network, preprocessing, params, used_classes)


def _names(of: tuple[SemanticClass, ...]) -> str:
    return ", ".join(each.name for each in of) or "none"


def _check_test_split(root: Path) -> None:
    try:
        index.load_index(root, "test")
    except DataError as error:
        raise DataError(
            f"run.report: expected a test split for the report at the end: {error}; "
            "run.report=False trains without it"
        ) from error


def _checked(
    experiment: Experiment, root: Path, samples: list[Sample], workdir: Path
) -> tuple[list[Sample], dict[str, str], classes.Overlaps | None]:
    """Returns the usable samples, a digest of each by its image's path, and the overlaps."""
    config, problems, described = experiment.data, [], {}
    is_semantic, overlaps = experiment.model.head.is_semantic, classes.Overlaps()
    named = index.load_metadata(root, samples) if is_semantic else {}

    def visit(
        sample: Sample, image: np.ndarray, order: str, masks: Mapping[str, np.ndarray]
    ) -> tuple[str, classes.Overlaps]:
        names = {path: named[path].class_name for path in masks if is_semantic}
        used = [p for p in names if not config.classes or names[p] in config.classes]
        found = classes.overlaps([masks[p] for p in used], [names[p] for p in used])
        return _describe(sample, image, order, masks), found

    size, resize = experiment.model.image_size, experiment.preprocessing.resize
    checked = quality.check_and_visit(root, samples, size, resize, config.threads, visit)
    for sample, (found, content) in zip(samples, checked, strict=True):
        problems += found
        if content is not None:
            described[sample.image], found_overlaps = content
            overlaps += found_overlaps
    if problems and jax.process_index() == 0:
        rows = [dataclasses.asdict(problem) for problem in problems]
        write_whole(workdir / BAD_FILES, (json.dumps(rows, indent=2) + "\n").encode())
        _log.warning(quality.format_report(problems, len(samples)))
    usable = quality.select_usable(samples, problems, config.on_bad)
    return usable, described, overlaps if is_semantic else None


def _describe(
    sample: Sample, image: np.ndarray, order: str, masks: Mapping[str, np.ndarray]
) -> str:
    held = {path: fingerprint.of_array(mask) for path, mask in masks.items()}
    return fingerprint.combine(held | {sample.image: fingerprint.of_array(image, order)})
