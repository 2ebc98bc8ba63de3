"""What a run starts from: its data, checked, and its parameters, fresh or from a checkpoint."""

import dataclasses
import json
import logging
from pathlib import Path

import jax

from samjax import conversion, models
from samjax.data import check, index, phantoms
from samjax.data.index import Sample
from samjax.models.config import SamConfig
from samjax.pretrained import Pretrained
from samjax.training import groups, sharding
from samjax.training.experiment import Experiment

# Fields of the model that a recipe decides, whatever checkpoint it starts from.
_RECIPE_FIELDS = ("image_size", "adapters", "adapter_init", "dtype", "remat")

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Data:
    """The images of a run.

    Attributes:
        root: The data folder.
        train: Images to train on.
        validation: Held-out images; empty without validation.
    """

    root: Path
    train: list[Sample]
    validation: list[Sample]


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
    samples = index.without_datasets(index.load_index(root, "train"), config.leave_out)
    if config.check == "all":
        size, resize = experiment.model.image_size, experiment.input.resize
        problems = check.check(root, samples, size, resize, config.threads)
        if problems:
            rows = [dataclasses.asdict(problem) for problem in problems]
            (workdir / "bad_files.json").write_text(json.dumps(rows, indent=2) + "\n")
            _log.warning(check.report(problems, len(samples)))
        samples = check.without_bad(samples, problems, config.on_bad)
    held_out: list[Sample] = []
    if config.validation_fraction > 0:
        samples, held_out = index.hold_out(samples, config.validation_fraction, config.seed)
    return Data(root, samples, held_out)


def prepare_model(experiment: Experiment) -> Pretrained:
    """Draws fresh parameters, or loads those to start from.

    Raises:
        FileNotFoundError: `init_from` does not exist.
        ValueError: It cannot be used.
    """
    config = experiment.model
    if not experiment.init_from:
        key = jax.random.fold_in(jax.random.key(experiment.run.seed), 1)
        return Pretrained(config, experiment.input, models.init(config, key))
    path = experiment.init_from
    adapters = (config.adapters, config.adapter_init, config.adapter_kind)
    loaded = conversion.load_any(path, config.image_size, *adapters)
    params = loaded.params
    if not config.adapters:
        params = groups.merge({k: v for k, v in groups.split(params).items() if k != "adapter"})
    model = architecture(config, loaded.model)
    small = loaded.model.encoder == "tiny_vit"
    kept = experiment.input_from == "checkpoint" or (experiment.input_from == "auto" and small)
    inputs = loaded.input if kept else experiment.input
    if inputs != loaded.input:
        _log.warning(
            "%s was trained on images prepared as %s; this run prepares them as %s "
            "(input_from decides)",
            path,
            loaded.input,
            inputs,
        )
    return Pretrained(model, inputs, params)


def architecture(recipe: SamConfig, checkpoint: SamConfig) -> SamConfig:
    """A checkpoint's network, with what the recipe decides whatever it starts from.

    The adapters are of the recipe's kind unless the checkpoint brings its own.
    """
    fields = {name: getattr(recipe, name) for name in _RECIPE_FIELDS}
    if not checkpoint.adapters:
        fields["adapter_kind"] = recipe.adapter_kind
    return dataclasses.replace(checkpoint, **fields)
