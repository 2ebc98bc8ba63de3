"""Reports of an evaluation: summary, tables, and files on disk."""

import collections
import csv
import dataclasses
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samjax import visualization
from samjax.data.files import write_whole
from samjax.evaluation import class_report, ensembles, metrics, prompt_file, protocols
from samjax.evaluation.results import FILLED_BOX, Evaluation, MaskResult

NAME = "report.json"
SLICES: dict[str, Callable[[MaskResult], str]] = {
    "by_modality": lambda result: result.metadata.modality,
    "by_anatomy": lambda result: result.metadata.anatomy,
    "by_class": lambda result: result.metadata.class_name,
    "by_dataset": lambda result: result.metadata.dataset,
}


def summarise(evaluation: Evaluation) -> dict[str, Any]:
    """Returns means over all masks and over parts of the data set.

    Returns:
        `overall`: for every protocol and `filled_box` a dict of `dice`, `iou`, their 95 %
        intervals `dice_ci` and `iou_ci` (None where all masks are of one subject), and with the
        oracle `dice_oracle`; `count`, the number of masks, and `subjects`. `by_modality`,
        `by_anatomy`, `by_class`, `by_dataset`: the same for each part.
        `count`: masks, images, subjects, skipped masks. `fps`, see `Evaluation`. `uncertainty`, of
        protocols that are ensembles, see `samjax.evaluation.ensembles.summarise`. `classes`, of
        semantic models, see `samjax.evaluation.class_report.summarise`.
    """
    results = evaluation.results
    summary: dict[str, Any] = {"overall": _means(results)}
    for name, part_of in SLICES.items():
        parts = collections.defaultdict(list)
        for result in results:
            parts[part_of(result)].append(result)
        summary[name] = {part: _means(parts[part]) for part in sorted(parts)}
    summary["count"] = {
        "masks": len(results),
        "images": len({result.image for result in results}),
        "subjects": len({_subject(result) for result in results}),
        "skipped": len(evaluation.prompts.skipped),
    }
    summary["fps"] = evaluation.fps
    if names := results[0].uncertainty:
        summary["uncertainty"] = {name: _uncertainty(results, name) for name in names}
    if evaluation.classes:
        summary["classes"] = class_report.summarise(evaluation)
    return summary


def _uncertainty(results: Sequence[MaskResult], name: str) -> dict[str, float]:
    found = [result.uncertainty[name] for result in results]
    dice = [result.scores[name].dice for result in results]
    return ensembles.summarise(dice, [each.entropy for each in found], [vars(f) for f in found])


def table(evaluation: Evaluation, name: str) -> str:
    """Returns the paper's table 2 in Markdown: Dice in %, beside the filled-box baseline.

    Args:
        evaluation: The evaluation to show.
        name: Name of the model.
    """
    names = _table_protocols(evaluation)
    overall = _means(evaluation.results)
    side = evaluation.image_size
    fps = next(iter(evaluation.fps.values()))
    baseline = _percent(overall, FILLED_BOX)
    rows = [
        ["Model", "Resolution", *(f"{protocols.title(p)} (%)" for p in names), "FPS"],
        [
            name,
            f"{side} x {side}",
            *(_percent(overall, p) for p in names),
            f"{fps:.1f}" if fps < 10 else f"{fps:.0f}",
        ],
        ["Filled box", "-", *(baseline if p == protocols.BOX else "-" for p in names), "-"],
    ]
    return markdown(_aligned(rows))


def part_table(evaluation: Evaluation, part: str) -> str:
    """Returns Dice in % for each part of the data set, in Markdown.

    Args:
        evaluation: The evaluation to show.
        part: One of `SLICES`, such as `by_modality`.
    """
    names = [*_table_protocols(evaluation), FILLED_BOX]
    titles = [*map(protocols.title, names[:-1]), "Filled box"]
    rows = [[part.removeprefix("by_").capitalize(), "Masks", "Subjects", *titles]]
    for value, means in summarise(evaluation)[part].items():
        counts = str(means["count"]), str(means["subjects"])
        rows.append([value, *counts, *(_percent(means, name) for name in names)])
    return markdown(_aligned(rows))


def per_mask_csv(evaluation: Evaluation) -> str:
    """Returns CSV with one row per mask: paths, metadata, size, and every score."""
    rows = [_row(result) for result in evaluation.results]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write(
    out: str | os.PathLike[str],
    evaluation: Evaluation,
    name: str,
    origin: Mapping[str, Any],
) -> None:
    """Writes a report: each file whole or not at all.

    `report.json` (see `summarise`, and the settings), `report.md` (tables), `masks.csv` (one
    row per mask) and `prompts.json` (to replay).

    Args:
        out: Folder, made if absent.
        evaluation: The evaluation to write.
        name: Name of the model.
        origin: Origin of the scores, such as checkpoint and data, for `report.json`.
    """
    out = Path(out)
    content = {
        **summarise(evaluation),
        "model": name,
        **origin,
        "image_size": evaluation.image_size,
        "seed": evaluation.prompts.seed,
        "config": dataclasses.asdict(evaluation.config),
        "skipped": evaluation.prompts.skipped,
        "left_out": list(evaluation.left_out),
    }
    write_whole(out / NAME, (json.dumps(content, indent=2) + "\n").encode())
    write_whole(out / "report.md", page(evaluation, name).encode())
    write_whole(out / "masks.csv", per_mask_csv(evaluation).encode())
    prompt_file.save(out / "prompts.json", evaluation.prompts)


def write_pictures(out: str | os.PathLike[str], pictures: Mapping[str, np.ndarray]) -> None:
    """Writes the pictures of a report into its `overlays/`.

    Args:
        out: Folder of the report.
        pictures: RGB pictures by name, see `samjax.evaluation.figures`.
    """
    for name, picture in pictures.items():
        write_whole(Path(out) / "overlays" / f"{name}.png", visualization.encode_png(picture))


def page(evaluation: Evaluation, name: str) -> str:
    """Returns the report in Markdown: tables, intervals, and settings."""
    count = summarise(evaluation)["count"]
    config = evaluation.config
    adapters = "with adapters if it has any" if config.adapters else "adapters dropped"
    prompts = f"prompts from seed {evaluation.prompts.seed}"
    if evaluation.classes:
        prompts = "no prompts; each mask has the score of its class in its image"
    return (
        f"# {name}\n\nMean Dice over {count['masks']} masks in {count['images']} images of "
        f"{count['subjects']} subjects, at original resolution ({count['skipped']} masks skipped); "
        f"{adapters}; {prompts}.\n\n"
        f"{table(evaluation, name)}\n\n{_notes(evaluation)}\n\n"
        f"{part_table(evaluation, 'by_modality')}\n\n{_uncertainty_table(evaluation)}"
        f"{_class_table(evaluation)}"
        "Filled box: the box prompt itself taken as the mask. FPS: images per second for encoding "
        f"and decoding, {config.images_per_batch} images and up to {config.batch_size} masks at a "
        "time, without loading, compiling and scoring.\n"
    )


def _class_table(evaluation: Evaluation) -> str:
    """Returns the classes of a semantic model, in Markdown; empty for masks from prompts."""
    if not evaluation.classes:
        return ""
    return (
        f"{markdown(_aligned(class_report.rows(evaluation)))}\n\nDice of a class: mean over the "
        "images that have it or were given it. Shown wrongly in: images that do not have the "
        "class, each with a Dice of 0; area: mean share of these images that it covers. Left out: "
        f"{sum(evaluation.other_classes.values())} masks of classes that the model lacks.\n\n"
    )


def _uncertainty_table(evaluation: Evaluation) -> str:
    """Returns how well each ensemble's uncertainty predicts errors, in Markdown; empty without."""
    results = evaluation.results
    rows = [["Uncertainty", "ECE", "AUROC", "AUPRC", *(f"-{n} %" for n in ensembles.REFUSED)]]
    for name in results[0].uncertainty:
        found = _uncertainty(results, name)
        dice = [f"{100 * found[f'dice_refusing_{n}']:.2f}" for n in ensembles.REFUSED]
        values = [f"{found[kind]:.3f}" for kind in ("ece", "auroc", "auprc")]
        rows.append([protocols.title(name), *values, *dice])
    if len(rows) == 1:
        return ""
    return (
        f"{markdown(_aligned(rows))}\n\nECE: calibration error of the probability. AUROC, AUPRC: "
        "of the predictive entropy as a score of wrong pixels. All within the box, widened by half "
        "of its sides. -N %: Dice (%) without the N % of masks with the highest entropy.\n\n"
    )


def _notes(evaluation: Evaluation) -> str:
    """Returns the notes below the table: intervals, and protocols that were left out."""
    overall = _means(evaluation.results)
    names = evaluation.config.protocols
    if overall["subjects"] == 1:
        notes = "95 % intervals: none, all masks are of one subject."
    else:
        bounds = {name: overall[name]["dice_ci"] for name in names}
        intervals = (
            f"{protocols.title(n)} {100 * low:.2f} to {100 * high:.2f}"
            for n, (low, high) in bounds.items()
        )
        notes = f"95 % intervals over {overall['subjects']} subjects (%): {', '.join(intervals)}."
    if evaluation.left_out:
        titles = ", ".join(map(protocols.title, evaluation.left_out))
        notes += (
            f"\n\nLeft out: {titles}. This model takes box prompts only "
            "(`preprocessing.point_prompts`)."
        )
    return notes


def _means(results: Sequence[MaskResult]) -> dict[str, Any]:
    """Returns mean scores of every protocol, with intervals."""
    names = list(results[0].scores)
    kinds = [
        (name, kind)
        for name in names
        for kind in ("dice", "iou", "dice_oracle")
        if getattr(results[0].scores[name], kind) is not None
    ]
    rows = [[getattr(result.scores[name], kind) for name, kind in kinds] for result in results]
    subjects = np.array([_subject(result) for result in results])
    means: dict[str, Any] = {name: {} for name in names}
    for (name, kind), mean in zip(
        kinds, metrics.bootstrap_means(np.array(rows), subjects), strict=True
    ):
        means[name][kind] = mean.value
        means[name][f"{kind}_ci"] = None if mean.low is None else [mean.low, mean.high]
    return {**means, "count": len(results), "subjects": len(np.unique(subjects))}


def _subject(result: MaskResult) -> str:
    return f"{result.metadata.dataset}/{result.metadata.case}"


def _row(result: MaskResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "image": result.image,
        "mask": result.mask,
        **dataclasses.asdict(result.metadata),
        "height": result.height,
        "width": result.width,
        "area": result.area,
    }
    for name, score in result.scores.items():
        available = {kind: value for kind, value in vars(score).items() if value is not None}
        row |= {f"{kind}_{name}": round(value, 6) for kind, value in available.items()}
    for name, uncertainty in result.uncertainty.items():
        row[f"entropy_{name}"] = round(uncertainty.entropy, 6)
    return row


def _table_protocols(evaluation: Evaluation) -> tuple[str, ...]:
    """Returns the protocols of a table: always the box, too, whose column has the baseline."""
    names = evaluation.config.protocols
    return names if protocols.BOX in names else (protocols.BOX, *names)


def _percent(means: dict[str, Any], name: str) -> str:
    return f"{100 * means[name]['dice']:.2f}" if name in means else "-"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Formats a Markdown table: the first row is its head, all but the first column are numbers."""
    head, *body = rows
    rule = ["-" * len(head[0]), *("-" * (len(cell) - 1) + ":" for cell in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))


def _aligned(rows: list[list[str]]) -> list[list[str]]:
    """Pads cells to the width of their column, so that the table is readable as plain text."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        [row[0].ljust(widths[0])]
        + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        for row in rows
    ]
