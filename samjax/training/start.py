"""What a run starts from: its data, checked, and its parameters, fresh or from a checkpoint."""

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from samjax import conversion, models
from samjax.data import check, contents, identity, index, phantoms
from samjax.data.files import DataError, write_whole
from samjax.data.index import Sample
from samjax.models.config import SamConfig
from samjax.pretrained import Pretrained
from samjax.training import groups, sharding
from samjax.training.experiment import Experiment

# Fields of the model that a recipe decides, whatever checkpoint it starts from.
_RECIPE_FIELDS = ("image_size", "adapters", "adapter_init", "dtype", "remat")

BAD_FILES = "bad_files.json"
DATA_TABLE = "data.csv"

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Data:
    """The images of a run.

    Attributes:
        root: The data folder.
        train: Images to train on.
        validation: Held-out images; empty without validation.
        table: All of them, and what they hold if they were checked, see `samjax.data.identity`.
    """

    root: Path
    train: list[Sample]
    validation: list[Sample]
    table: bytes


def prepare_data(experiment: Experiment, workdir: Path) -> Data:
    """Indexes the data, checks every file, and holds subjects out for validation.

    What was found wrong is written to `WORKDIR/bad_files.json`.

    Raises:
        DataError: There is no usable data, a dataset to leave out that there is not, or a bad
            file where `data.on_bad` is `error`.
        ValueError: No data folder is named.
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
    samples = index.without_datasets(index.load_index(root, "train"), config.leave_out)
    described: dict[str, str] = {}
    if config.check == "all":
        samples, described = _checked(experiment, root, samples, workdir)
    held_out: list[Sample] = []
    if config.validation_fraction > 0:
        samples, held_out = index.hold_out(samples, config.validation_fraction, config.seed)
    return Data(root, samples, held_out, identity.table(samples, held_out, described))


def check_length(experiment: Experiment, data: Data) -> None:
    """Says, or refuses, what the length of the run leaves without effect.

    Raises:
        ValueError: The run ends before the validation that `validation.patience` waits for.
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


def tell_of_leak(experiment: Experiment, data: Data) -> None:
    """Says how many subjects to validate on the run trained on that `init_from` comes from."""
    table = Path(experiment.init_from).parent / DATA_TABLE
    if not experiment.init_from or not table.is_file():
        return
    trained = set(identity.summary(table.read_bytes())["training"]["subjects"])
    held = {sample.subject for sample in data.validation}
    if known := trained & held:
        _log.warning(
            "init_from = %s was trained on %d of the %d subjects to validate on: their scores, and "
            "the best model by them, are too good",
            experiment.init_from,
            len(known),
            len(held),
        )


def prepare_model(experiment: Experiment) -> Pretrained:
    """Draws fresh parameters, or loads those to start from.

    Raises:
        FileNotFoundError: `init_from` does not exist.
        ValueError: It cannot be used, or there is none for what is said of it.
    """
    config = experiment.model
    if not experiment.init_from:
        if experiment.init_family:
            raise ValueError(
                "init_family: expected none where no init_from says which checkpoint it is of, "
                f"found {experiment.init_family!r}"
            )
        key = jax.random.fold_in(jax.random.key(experiment.run.seed), 1)
        return Pretrained(config, experiment.input, models.init(config, key))
    path = experiment.init_from
    adapters = (config.adapters, config.adapter_init, config.adapter_kind)
    family = experiment.init_family or None
    loaded = conversion.load_any(path, config.image_size, *adapters, family=family)
    params = loaded.params
    if not config.adapters:
        params = groups.merge({k: v for k, v in groups.split(params).items() if k != "adapter"})
    model = architecture(config, loaded.model)
    small = loaded.model.encoder == "tiny_vit"
    kept = experiment.input_from == "checkpoint" or (experiment.input_from == "auto" and small)
    inputs = loaded.input if kept else experiment.input
    then, now = dataclasses.asdict(loaded.input), dataclasses.asdict(inputs)
    changed = [
        f"{name} {then[name]!r}, now {now[name]!r}"
        for name in then
        if then[name] != now[name] and name != "point_prompts"  # That prepares no image.
    ]
    if changed:
        _log.warning(
            "%s was trained on images prepared in another way (input_from decides): %s",
            path,
            ", ".join(changed),
        )
    return Pretrained(model, inputs, params)


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
) -> tuple[list[Sample], dict[str, str]]:
    """The samples without what is bad, and a digest of what each holds, by its image."""
    config, problems, described = experiment.data, [], {}
    size, resize = experiment.model.image_size, experiment.input.resize
    checked = check.each(root, samples, size, resize, config.threads, _describe)
    for sample, (found, content) in zip(samples, checked, strict=True):
        problems += found
        described[sample.image] = content
    if problems and jax.process_index() == 0:
        rows = [dataclasses.asdict(problem) for problem in problems]
        write_whole(workdir / BAD_FILES, (json.dumps(rows, indent=2) + "\n").encode())
        _log.warning(check.report(problems, len(samples)))
    return check.without_bad(samples, problems, config.on_bad), described


def _describe(
    sample: Sample, image: np.ndarray, order: str, masks: Mapping[str, np.ndarray]
) -> str:
    held = {path: contents.describe(mask) for path, mask in masks.items()}
    return contents.of_many(held | {sample.image: contents.describe(image, order)})


def architecture(recipe: SamConfig, checkpoint: SamConfig) -> SamConfig:
    """A checkpoint's network, with what the recipe decides whatever it starts from.

    The adapters are of the recipe's kind unless the checkpoint brings its own.
    """
    fields = {name: getattr(recipe, name) for name in _RECIPE_FIELDS}
    if not checkpoint.adapters:
        fields["adapter_kind"] = recipe.adapter_kind
    return dataclasses.replace(checkpoint, **fields)
