"""Reports on disk that are compared, and the check that their scores belong to the same masks."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samjax.data.files import DataError
from samjax.data.metadata import read_json
from samjax.evaluation import prompt_file, protocols, report
from samjax.evaluation.prompt_file import PromptSet
from samjax.evaluation.results import FILLED_BOX
from samjax.evaluation.table import ScoreTable

_SETTINGS = {"jitter": 1 / 32, "draws": 1, "ensemble_mean": "probability"}  # Of prompts.
_NO_QUALITY = ("predicted_iou",)  # Neither high nor low is better.


@dataclasses.dataclass(frozen=True)
class ReportFolder:
    """A report on disk.

    Attributes:
        path: The folder.
        name: Name of the model; where several have the same, with its folder.
        content: Content of its `report.json`.
        table: Its scores.
        prompts: Its prompts.
    """

    path: Path
    name: str
    content: dict[str, Any]
    table: ScoreTable
    prompts: PromptSet


def read(paths: Sequence[str | os.PathLike[str]]) -> list[ReportFolder]:
    """Reads reports that can be compared; the rows of their tables are in the order of the first.

    Raises:
        DataError: There are fewer than two, one cannot be read, or they are of other images, masks
            or prompts; the message names what differs.
    """
    folders = [Path(path) for path in paths]
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        found = ", ".join(map(str, folders)) or "none"
        raise DataError(f"reports: expected two or more different folders, found {found}")
    found = [_read(folder) for folder in folders]
    names = [one.name for one in found]
    if len(set(names)) < len(names):
        found = [dataclasses.replace(one, name=f"{one.name} ({one.path})") for one in found]
    return [found[0], *(_like(one, found[0]) for one in found[1:])]


def shared_metrics(reports: Sequence[ReportFolder]) -> dict[str, tuple[str, ...]]:
    """Returns the protocols that all reports have, each with the metrics that can be compared.

    Raises:
        DataError: There is none.
    """
    first = reports[0]
    shared: dict[str, tuple[str, ...]] = {}
    for protocol in first.table.protocols:
        metrics = first.table.metrics_of(protocol)
        for other in reports[1:]:
            metrics = [each for each in metrics if each in other.table.metrics_of(protocol)]
        if metrics and protocol != FILLED_BOX:
            shared[protocol] = tuple(each for each in metrics if each not in _NO_QUALITY)
    if not shared:
        by_report = "; ".join(
            f"{one.path}: {', '.join(p for p in one.table.protocols if p != FILLED_BOX)}"
            for one in reports
        )
        raise DataError(f"reports: expected a protocol that all have, found {by_report}")
    return shared


def _read(folder: Path) -> ReportFolder:
    path = folder / report.NAME
    if not path.exists():
        raise DataError(f"{path}: no such file; expected a folder that samjax evaluate wrote")
    if not (folder / report.SCORES).exists():
        raise DataError(
            f"{folder / report.SCORES}: no such file; reports of earlier versions have none: "
            "evaluate again, with --prompts for the same prompts"
        )
    content = read_json(path)
    if not isinstance(content.get("model"), str) or not isinstance(content.get("config"), dict):
        raise DataError(f"{path}: expected a report with model and config, found others")
    prompts = prompt_file.load(folder / "prompts.json")
    return ReportFolder(folder, content["model"], content, ScoreTable.read(folder), prompts)


def _like(other: ReportFolder, first: ReportFolder) -> ReportFolder:
    """Checks that a report can be compared with the first; puts its masks into that order.

    Raises:
        DataError: It cannot.
    """
    shared_metrics([first, other])
    _check_files(first, other)
    rows = {mask.mask: row for row, mask in enumerate(other.table.masks)}
    names = [mask.mask for mask in first.table.masks]
    _check_masks(first, other, names, rows)
    _check_prompts(first, other, names)
    for name, default in _SETTINGS.items():
        one, two = (each.content["config"].get(name, default) for each in (first, other))
        if one != two:
            raise DataError(f"{other.path}: {name}: expected {one} as in {first.path}, found {two}")
    return dataclasses.replace(other, table=other.table.of_masks(names))


def _check_files(first: ReportFolder, other: ReportFolder) -> None:
    """Checks that files of the same path have the same content, as far as the reports know it."""
    known, found = first.prompts.contents, other.prompts.contents
    differing = [path for path in known if found.get(path, known[path]) != known[path]]
    if differing:
        path = differing[0]
        raise DataError(
            f"{other.path}: expected the images and masks of {first.path}, found others under "
            f"{len(differing)} of {len(known)} paths, the first {path} ({found[path]} instead of "
            f"{known[path]})"
        )


def _check_masks(
    first: ReportFolder, other: ReportFolder, names: Sequence[str], rows: Mapping[str, int]
) -> None:
    missing = [name for name in names if name not in rows]
    further = [name for name in rows if name not in set(names)]
    if missing or further:
        counts = [f"{len(missing)} of its {len(names)} missing"] if missing else []
        counts += [f"{len(further)} others"] if further else []
        raise DataError(
            f"{other.path}: expected the masks of {first.path}, found {' and '.join(counts)}, the "
            f"first {(missing or further)[0]}; evaluate both with the same --data, --split, "
            "--datasets and --limit"
        )
    for mask in first.table.masks:
        twin = other.table.masks[rows[mask.mask]]
        for field in ("image", "subject", "height", "width", "area"):
            one, two = getattr(mask, field), getattr(twin, field)
            if one != two:
                problem = f"expected {field} {one} as in {first.path}, found {two}"
                raise DataError(f"{other.path}: {mask.mask}: {problem}")


def _check_prompts(first: ReportFolder, other: ReportFolder, names: Sequence[str]) -> None:
    if {*shared_metrics([first, other])} == {protocols.CLASSES}:
        return  # Without prompts.
    one, two = first.prompts.prompts, other.prompts.prompts
    differing = [name for name in names if one.get(name) != two.get(name)]
    if differing or first.prompts.seed != other.prompts.seed:
        found = f"seed {other.prompts.seed} instead of {first.prompts.seed}"
        if differing:
            found = f"others for {len(differing)} of {len(names)} masks, the first {differing[0]}"
        raise DataError(
            f"{other.path}: expected the prompts of {first.path}, found {found}; evaluate it "
            f"with --prompts {first.path / 'prompts.json'}"
        )
