"""A whole test, of `eval.py` and at the end of training: check, evaluate, draw, report."""

import logging
import os
from collections.abc import Sequence
from typing import Any

from samjax.data.index import Sample
from samjax.evaluation import evaluator, pictures, report
from samjax.evaluation.evaluator import EvalConfig
from samjax.evaluation.prompt_file import PromptSet
from samjax.pretrained import Pretrained

_log = logging.getLogger(__name__)


def test_and_report(
    pretrained: Pretrained,
    root: str | os.PathLike[str],
    samples: Sequence[Sample],
    out: str | os.PathLike[str],
    config: EvalConfig,
    name: str,
    origin: dict[str, Any],
    replayed: PromptSet | None = None,
    on_bad: str = "skip",
) -> str:
    """Tests a model on images of a data folder and writes the report.

    Args:
        pretrained: The model.
        root: The data folder.
        samples: Which of its images.
        out: Folder to write the report to.
        config: How to test.
        name: What the tables call the model.
        origin: Where model and data came from, kept in the report.
        replayed: Prompts to replay; drawn from `config.seed` otherwise.
        on_bad: `skip` or `error`, for files that cannot be used.

    Returns:
        The table, in Markdown.

    Raises:
        DataError: There is nothing that can be tested, or a bad file where `on_bad` is `error`.
    """
    if replayed and not replayed.contents:
        _log.warning(
            "the prompts to replay do not say what they were drawn for (an earlier version wrote "
            "them): whether images and masks are still the same is not checked"
        )
    samples, bad, _ = evaluator.usable(pretrained, root, samples, config, on_bad, replayed)
    for detail in bad.values():
        _log.warning("skipped: %s", detail)
    evaluation = evaluator.evaluate(pretrained, root, samples, config, replayed)
    shown = pictures.overlays(pretrained, root, evaluation)
    report.write(out, evaluation, name, shown, {**origin, "bad": bad})
    return report.table(evaluation, name)
