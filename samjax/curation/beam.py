"""Works on cases by Apache Beam: with several machines, on Dataflow, Flink or Spark.

The cases are what is spread; source and target have to be folders that all workers see by the same
path, such as a network file system or a mounted bucket.
"""

import dataclasses
import functools
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from samjax import extra
from samjax.curation.found import Problem
from samjax.curation.prepare import Each, Outcome


def with_pipeline(arguments: Sequence[str], scratch: Path) -> Each:
    """A way of working on cases that runs one Beam pipeline for every kind of work.

    Args:
        arguments: Options of the pipeline, such as `--runner=DirectRunner`.
        scratch: Folder that all workers see, for what they report; it is left empty.

    Raises:
        MissingLibrary: Beam is not installed.
    """
    extra.require("apache_beam", "beam")
    return functools.partial(_each, list(arguments), scratch)


def _each(
    arguments: list[str],
    scratch: Path,
    title: str,
    function: Callable[..., Outcome],
    work: Sequence[Any],
    fixed: tuple,
    lost: Callable[[Any, str], Outcome] | None = None,
) -> Iterator[Outcome]:
    del lost  # A worker that dies is the runner's business: it tries again, or ends the pipeline.
    beam = extra.require("apache_beam", "beam")
    options = beam.options.pipeline_options.PipelineOptions(arguments)
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        with beam.Pipeline(options=options) as pipeline:
            _ = (
                pipeline
                | "cases" >> beam.Create(list(work))
                | "spread" >> beam.Reshuffle()
                | title >> beam.Map(_reported, function, fixed)
                | "report" >> beam.io.WriteToText(f"{folder}/outcomes")
            )
        for path in sorted(Path(folder).glob("outcomes*")):
            yield from map(_read, path.read_text(encoding="utf-8").splitlines())


def _reported(one: Any, function: Callable[..., Outcome], fixed: tuple) -> str:
    return json.dumps(dataclasses.asdict(function(one, *fixed)))


def _read(line: str) -> Outcome:
    content = json.loads(line)
    problem = Problem(**content["problem"]) if content["problem"] else None
    return Outcome(content["case"], tuple(content["classes"]), problem, tuple(content["evidence"]))
