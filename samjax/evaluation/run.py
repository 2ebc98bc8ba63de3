"""A whole evaluation, of `eval.py` or at the end of training: check, evaluate, report, draw."""

import dataclasses
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from samjax.data import fingerprint, journal
from samjax.data.index import Sample
from samjax.data.metadata import read_json
from samjax.evaluation import evaluator, figures, report, report_tables, support
from samjax.evaluation.evaluator import EvalConfig
from samjax.evaluation.progress import EvaluationProgress
from samjax.evaluation.prompt_file import PromptSet
from samjax.models import directory
from samjax.models.directory import Model

FORMAT = 2  # Of the results of an evaluation that was stopped.

_log = logging.getLogger(__name__)


class WrittenReport(NamedTuple):
    """The report of an evaluation, once it is written.

    Attributes:
        table: Scores, in Markdown.
        problems: Files that could not be used or written, and why.
    """

    table: str
    problems: tuple[str, ...]


def evaluate_and_report(
    model: Model,
    root: str | os.PathLike[str],
    samples: Sequence[Sample],
    out: str | os.PathLike[str],
    config: EvalConfig,
    name: str,
    origin: dict[str, Any],
    replayed: PromptSet | None = None,
    on_bad: str = "skip",
    overwrite: bool = True,
) -> WrittenReport:
    """Evaluates a model on images of a data folder and writes the report.

    Args:
        model: The model.
        root: The data folder.
        samples: The images to evaluate on.
        out: Folder to write the report to.
        config: Settings of the evaluation.
        name: Name of the model in the tables.
        origin: Origin of model and data, kept in the report.
        replayed: Prompts to replay; drawn from `config.seed` otherwise.
        on_bad: `skip` or `error`, for files that cannot be used.
        overwrite: Whether to replace the report of another evaluation in `out`.

    Results of an evaluation that was stopped are kept in `OUT/unfinished.jsonl`, and the same
    evaluation goes on from there. The report is written before the pictures: if they fail, that is
    a problem, too.

    Returns:
        The table and the problems.

    Raises:
        DataError: There is nothing that can be evaluated, a bad file where `on_bad` is `error`,
            prompts that do not suit the data, another evaluation that was stopped in `out`, or the
            report of another, not to be replaced.
        KeyboardInterrupt: The evaluation was asked to stop; says how far it is.
    """
    if replayed and not replayed.contents:
        _log.warning(
            "the prompts to replay do not say what they were drawn for (an earlier version wrote "
            "them): whether images and masks are still the same is not checked"
        )
    samples, bad, fingerprints = evaluator.check_samples(
        model, root, samples, config, on_bad, replayed
    )
    evaluated = {mask for sample in samples for mask in sample.masks}
    if unused := [mask for mask in (replayed.prompts if replayed else ()) if mask not in evaluated]:
        _log.warning(
            "left out: %d of %d prompts to replay, for masks not evaluated here, the first %s",
            len(unused),
            len(replayed.prompts) if replayed else 0,
            unused[0],
        )
    identity = _identity(model, samples, fingerprints, config, replayed)
    path = Path(out) / report.NAME
    if path.exists() and not overwrite:
        advice = "Take another --out, or --overwrite to replace it"
        journal.check_same(read_json(path).get("run", {}), identity, str(path), advice)
    with EvaluationProgress(out, identity) as progress:
        try:
            evaluation = evaluator.evaluate(
                model, root, samples, config, replayed, resume_from=progress
            )
        except KeyboardInterrupt as stopped:
            done = f"{len(progress.images)} of {len(samples)} images are done"
            raise type(stopped)(f"{done}; the same command goes on") from None
        if evaluation.other_classes:
            _log.warning(
                "left out: masks of classes that the model does not have: %s",
                support.counted(evaluation.other_classes),
            )
        origin = {**origin, "bad": bad, "run": identity}
        content = report.write(out, evaluation, name, origin)
        progress.remove()
    problems = [*bad.values()]
    try:
        drawn = figures.cases(model, root, evaluation)
        report.write_pictures(out, figures.overlays(drawn))
        report.write_html(out, content, evaluation, drawn)
    except Exception as error:  # Whatever fails here, the scores are written.
        problems.append(
            f"{Path(out) / 'overlays'}: no pictures: {str(error) or type(error).__name__}"
        )
    return WrittenReport(report_tables.overall(content), tuple(problems))


def _identity(
    model: Model,
    samples: Sequence[Sample],
    fingerprints: dict[str, str],
    config: EvalConfig,
    replayed: PromptSet | None,
) -> dict[str, Any]:
    """Returns what decides the scores of an evaluation: digests and settings."""
    whole = dataclasses.asdict(config)
    settings = {name: value for name, value in whole.items() if name not in ("threads", "workers")}
    prompts = "drawn" if replayed is None else fingerprint.combine(vars(replayed))
    listed = {str(number): repr(sample) for number, sample in enumerate(samples)}
    return {
        "format": FORMAT,
        "model": directory.digest(model),
        "data": fingerprint.combine(listed | fingerprints),
        "prompts": prompts,
        **settings,
    }
