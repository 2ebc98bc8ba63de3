"""Evaluations of a study; those that a folder has already are kept."""

import csv
import dataclasses
import io
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax

from samjax import conversion, models
from samjax.comparison import factors
from samjax.comparison.cosmos import automatic, timing, tuning
from samjax.comparison.cosmos.plan import CosmosStudy
from samjax.comparison.cosmos.results import FACTORS, MODEL, MODELS, TUNED, read_factors
from samjax.comparison.factors import Factors
from samjax.data import files, index
from samjax.data.files import DataError, write_whole
from samjax.data.index import Sample
from samjax.data.metadata import read_json
from samjax.evaluation import protocols, report
from samjax.evaluation.results import EvalConfig
from samjax.evaluation.run import evaluate_and_report
from samjax.models.directory import Model

_log = logging.getLogger(__name__)
_SPEED_ONLY = ("threads", "workers", "batch_size", "images_per_batch")  # They change no score.


def run(study: CosmosStudy, out: Path) -> None:
    """Evaluates all models of a study, unless their reports are in its folder.

    Args:
        study: Its settings.
        out: Its folder: `models/NAME`, with a report of each part, `tuning`, and `factors.csv`.

    Raises:
        DataError: The data cannot be used, or a report is of another evaluation.
        ValueError: A model cannot be loaded, or takes no such prompt.
    """
    samples = index.load_index(study.data, study.split)
    for name, checkpoint in study.checkpoints.items():
        _run_model(study, name, checkpoint, study.parts, samples, out / MODELS / name)
    if not (out / FACTORS).exists():
        _write_factors(study.data, samples, out / FACTORS)
    else:
        _check_factors(samples, out / FACTORS)
    if study.tune:
        _run_tuned(study, samples, out / TUNED)


def _run_model(
    study: CosmosStudy,
    name: str,
    checkpoint: str,
    parts: Mapping[str, EvalConfig],
    samples: Sequence[Sample],
    folder: Path,
) -> None:
    origin = {"checkpoint": checkpoint, "data": study.data, "split": study.split}
    done = {
        part
        for part, config in parts.items()
        if (known := automatic.with_settings(part, config, folder))
        and _has_report(folder / part, known, origin)
    }
    if (folder / MODEL).exists() and done | {*read_json(folder / MODEL)["left_out"]} == {*parts}:
        return
    model = conversion.load_or_convert(checkpoint)
    left_out = [part for part, config in parts.items() if not _takes(model, config)]
    for part, config in parts.items():
        if part in done or part in left_out:
            continue
        _log.info("%s: %s", name, part)
        if automatic.with_settings(part, config, folder) is None:
            automatic.choose(study, model, folder)
        settings = automatic.with_settings(part, config, folder) or config
        _evaluate(model, samples, folder / part, settings, f"{name}, {part}", origin)
    seconds = timing.measure(model, study.data, samples)
    _write_facts(folder, model, checkpoint, {"left_out": left_out, **seconds})


def _takes(model: Model, config: EvalConfig) -> bool:
    """Whether a model takes any prompt of a part: one that knows boxes alone has no clicks."""
    if model.preprocessing.supports_points:
        return True
    return any(not protocols.find(name).takes_points for name in config.protocols)


def _run_tuned(study: CosmosStudy, samples: Sequence[Sample], folder: Path) -> None:
    """Tunes the first model, and evaluates it in two ways of decoding."""
    start = next(iter(study.checkpoints.values()))
    trained = tuning.tune(start, study.data, folder / "training")
    config = EvalConfig(protocols=tuning.STRATEGIES, select=("score", "oracle"), limit=study.limit)
    for decoding, multimask in tuning.DECODINGS.items():
        origin = {"checkpoint": str(trained), "data": study.data, "split": study.split}
        if _has_report(folder / decoding, config, origin):
            continue
        model = conversion.load_or_convert(trained)
        fitted = dataclasses.replace(model.preprocessing, multimask=multimask)
        model = dataclasses.replace(model, preprocessing=fitted)
        _evaluate(model, samples, folder / decoding, config, f"tuned, {decoding}", origin)
        _write_facts(folder, model, str(trained), {})


def _evaluate(
    model: Model,
    samples: Sequence[Sample],
    out: Path,
    config: EvalConfig,
    name: str,
    origin: dict[str, Any],
) -> None:
    written = evaluate_and_report(model, origin["data"], samples, out, config, name, origin)
    for problem in written.problems:
        _log.warning("left out: %s", problem)


def _write_facts(folder: Path, model: Model, checkpoint: str, more: Mapping[str, Any]) -> None:
    """Writes what a study tells of a model besides its scores."""
    facts = {
        "checkpoint": checkpoint,
        "parameters": models.count_parameters(model.config),
        "image_size": model.config.image_size,
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        **more,
    }
    write_whole(folder / MODEL, (json.dumps(facts, indent=1) + "\n").encode())


def _has_report(folder: Path, config: EvalConfig, origin: Mapping[str, str]) -> bool:
    """Whether a folder has the report of an evaluation.

    Raises:
        DataError: It has the report of another one.
    """
    path = folder / report.NAME
    if not path.exists():
        return False
    content = read_json(path)
    wanted = json.loads(json.dumps({**origin, **dataclasses.asdict(config)}))
    # A setting that an earlier version did not have was the default.
    found = {**dataclasses.asdict(EvalConfig()), **content, **content["config"]}
    for name, value in wanted.items():
        if name not in _SPEED_ONLY and name != "protocols" and found.get(name) != value:
            raise DataError(
                f"{path}: {name}: expected {value!r}, found {found.get(name)!r}, the report of "
                "another study; --out takes another folder"
            )
    evaluated = {*content["config"]["protocols"], *content["left_out"]}
    if lacking := sorted({*config.protocols} - evaluated):
        raise DataError(
            f"{path}: protocols: expected {', '.join(lacking)} among them, found "
            f"{', '.join(sorted(evaluated))}; --out takes another folder"
        )
    return True


def _write_factors(root: str, samples: Sequence[Sample], path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        measured = pool.map(lambda sample: _measure(root, sample), samples)
        rows = [row for of_image in measured for row in of_image]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["mask", *(field.name for field in dataclasses.fields(Factors))])
    writer.writerows((mask, *dataclasses.astuple(found)) for mask, found in rows)
    write_whole(path, text.getvalue().encode())


def _measure(root: str, sample: Sample) -> Iterable[tuple[str, Factors]]:
    """Returns the factors of an image's masks; of empty ones, and bad files, there are none."""
    try:
        image, _ = files.read_image(Path(root) / sample.image)
    except DataError:  # The evaluation has reported it.
        return []
    found = []
    for path in sample.masks:
        try:
            mask = files.read_mask(Path(root) / path)
        except DataError:
            continue
        if mask.shape == image.shape[:2] and mask.any():
            found.append((path, factors.measure(image, mask)))
    return found


def _check_factors(samples: Sequence[Sample], path: Path) -> None:
    known = {mask for sample in samples for mask in sample.masks}
    if other := sorted(read_factors(path).keys() - known):
        raise DataError(
            f"{path}: expected masks of the data folder, found {other[0]}; --out takes another "
            "folder"
        )
