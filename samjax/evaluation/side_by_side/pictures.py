"""Pictures of the masks that two reports score most differently: truth, first, second."""

from collections.abc import Sequence

import numpy as np

from samjax import conversion, fields, visualization
from samjax.data.files import DataError
from samjax.evaluation import figures, protocols
from samjax.evaluation.figures import Example
from samjax.evaluation.results import EvalConfig, Evaluation, MaskInfo, MaskResult, Score
from samjax.evaluation.side_by_side.folders import ReportFolder, shared_metrics
from samjax.models import directory

_METRIC = "dice"
_KEPT = (  # Settings of an evaluation that its predictions depend on.
    *("batch_size", "images_per_batch", "seed", "adapters", "draws", "jitter", "ensemble_mean"),
)


def draw(
    reports: Sequence[ReportFolder], count: int = 4, side: int = 256
) -> dict[str, tuple[str, np.ndarray]]:
    """Draws the masks whose Dice differs most from the first report, for each further one.

    The protocol is `bbox`, if all have it, otherwise the first that all have.

    Args:
        reports: Reports of the same masks, see `folders.read`.
        count: Number of masks in a picture.
        side: Longer side of a panel, pixels.

    Returns:
        Captions and RGB pictures by name, such as `2_wins` and `2_losses` of the second report. A
        row has the image with its truth, then the masks of both models.

    Raises:
        DataError: A model or an image is not the one of the report any more.
        OSError: One is missing.
        ValueError: A model cannot be read.
    """
    shared = shared_metrics(reports)
    protocol = protocols.BOX if protocols.BOX in shared else next(iter(shared))
    wanted = {
        f"{number}_{kind}": (number - 1, kind, rows)
        for number, other in enumerate(reports[1:], 2)
        for kind, rows in most_different(reports[0], other, protocol, count).items()
        if rows
    }
    examples: dict[int, dict[int, Example]] = {}
    for at, report in enumerate(reports):
        rows = {row for i, _, rows in wanted.values() if at in (0, i) for row in rows}
        examples[at] = _examples(report, protocol, sorted(rows))
    pictures = {}
    for name, (at, kind, rows) in wanted.items():
        pairs = [(examples[0][row], examples[at][row]) for row in rows]
        names = reports[0].name, reports[at].name
        better, worse = names[::-1] if kind == "wins" else names
        caption = f"{protocols.title(protocol)}: {better} above {worse}"
        panels = [_panels(pair, names, protocol, side) for pair in pairs]
        pictures[name] = caption, visualization.grid(panels)
    return pictures


def most_different(
    first: ReportFolder, second: ReportFolder, protocol: str, count: int
) -> dict[str, list[int]]:
    """Returns the rows of the largest `wins` and `losses` of the second, those alone."""
    difference = np.subtract(
        *(one.table.column(protocol, _METRIC) for one in (second, first)), dtype=float
    )
    order = np.argsort(-difference, kind="stable").tolist()
    return {
        "wins": [row for row in order[:count] if difference[row] > 0],
        "losses": [row for row in order[::-1][:count] if difference[row] < 0],
    }


def _examples(report: ReportFolder, protocol: str, rows: Sequence[int]) -> dict[int, Example]:
    content = report.content
    model = conversion.load_or_convert(content["checkpoint"], content["image_size"])
    now, then = directory.digest(model), content.get("run", {}).get("model")
    if now != then:
        raise DataError(
            f"{content['checkpoint']}: expected the model of {report.path} ({then}), found "
            f"another ({now}): it was changed since, or evaluated with other preprocessing"
        )
    kept = {name: content["config"][name] for name in _KEPT if name in content["config"]}
    config = fields.from_dict(EvalConfig, kept | {"protocols": (protocol,)})
    values = report.table.column(protocol, _METRIC)
    results = [_result(report.table.masks[row], protocol, float(values[row])) for row in rows]
    evaluation = Evaluation(config, content["image_size"], results, report.prompts, {})
    drawn = figures.examples(model, content["data"], evaluation, results)
    return dict(zip(rows, drawn, strict=True))


def _result(mask: MaskInfo, protocol: str, dice: float) -> MaskResult:
    scores = {protocol: Score({_METRIC: dice})}
    return MaskResult(
        mask.image, mask.mask, mask.metadata, mask.height, mask.width, mask.area, scores
    )


def _panels(
    pair: Sequence[Example], names: Sequence[str], protocol: str, side: int
) -> list[np.ndarray]:
    metadata = pair[0].result.metadata
    truth = figures.truth_picture(pair[0], side)
    panels = [visualization.add_label(truth, f"{metadata.modality}: {metadata.class_name}")]
    for example, name in zip(pair, names, strict=True):
        label = f"{example.result.scores[protocol].dice:.3f}  {name}"
        picture = figures.prediction_picture(example, protocol, side)
        panels.append(visualization.add_label(picture, label))
    return panels
