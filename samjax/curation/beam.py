"""Runs the work on Apache Beam: on several machines, on Dataflow, Flink or Spark.

Cases are distributed; source and target have to be folders that all workers see by the same path,
such as a network file system or a mounted bucket.
"""

import dataclasses
import functools
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from samjax import extra
from samjax.curation.discovery_result import Problem
from samjax.curation.prepare import Executor, WorkResult


def with_pipeline(arguments: Sequence[str], scratch: Path) -> Executor:
    """Returns an executor that runs one Beam pipeline for every kind of work.

    Args:
        arguments: Options of the pipeline, such as `--runner=DirectRunner`.
        scratch: Folder that all workers see, for their results; it is left empty.

    Raises:
        MissingLibrary: Beam is not installed.
    """
    extra.require("apache_beam", "beam")
    return functools.partial(_run, list(arguments), scratch)


def _run(
    arguments: list[str],
    scratch: Path,
    title: str,
    function: Callable[..., WorkResult],
    work: Sequence[Any],
    fixed: tuple,
    on_crash: Callable[[Any, str], WorkResult] | None = None,
) -> Iterator[WorkResult]:
    del on_crash  # The runner retries when a worker dies, or ends the pipeline.
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


def _reported(one: Any, function: Callable[..., WorkResult], fixed: tuple) -> str:
    return json.dumps(dataclasses.asdict(function(one, *fixed)))


def _read(line: str) -> WorkResult:
    content = json.loads(line)
    problem = Problem(**content["problem"]) if content["problem"] else None
    return WorkResult(
        content["case"], tuple(content["classes"]), problem, tuple(content["evidence"])
    )
