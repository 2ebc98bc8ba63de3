"""Figures of the results page: bars from reports, and pictures of replayed predictions."""

import collections
import csv
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samjax import conversion, extra, fields, renames, visualization
from samjax.comparison.reports import MethodResults
from samjax.data.files import write_whole
from samjax.data.index import Sample
from samjax.evaluation import evaluator, figures, prompt_file, protocols
from samjax.evaluation.evaluator import EvalConfig
from samjax.evaluation.figures import Example

ResultsByTitle = Mapping[str, MethodResults]
_DPI = 110


def figure_class() -> Any:
    """Returns Matplotlib's `Figure`; also checks before a long run that it is installed.

    Raises:
        MissingLibrary: Matplotlib is not installed.
    """
    return extra.require("matplotlib.figure", "comparison").Figure


def bars(
    results_by_title: ResultsByTitle,
    path: Path,
    protocol_names: Sequence[str] = (protocols.BOX, "1pt"),
) -> None:
    """Draws the paper's figure 5 (a, b): Dice by anatomy and by modality.

    Args:
        results_by_title: Results by the title of the model.
        path: Path of the picture.
        protocol_names: Protocols; each has a row of axes.
    """
    kinds = ("by_anatomy", "by_modality")
    first = next(iter(results_by_title.values()))
    widths = [len(first.parts(kind)) for kind in kinds]
    figure = figure_class()((13, 3.2 * len(protocol_names)), layout="constrained")
    axes = figure.subplots(len(protocol_names), 2, width_ratios=widths, sharey=True)
    for row, protocol in zip(np.atleast_2d(axes), protocol_names, strict=True):
        for axis, kind in zip(row, kinds, strict=True):
            parts = first.parts(kind)
            width = 0.8 / len(results_by_title)
            for number, (title, results) in enumerate(results_by_title.items()):
                places = np.arange(len(parts)) + (number - (len(results_by_title) - 1) / 2) * width
                values = [results.score(protocol, part=(kind, part)) for part in parts]
                axis.bar(
                    places,
                    [v.mean for v in values],
                    width,
                    label=title,
                    yerr=[v.spread or 0.0 for v in values],
                    error_kw={"linewidth": 0.8},
                )
            labels = [f"{part}_{count}".replace("_", "\n") for part, count in parts.items()]
            axis.set_xticks(np.arange(len(parts)), labels, fontsize=7)
            axis.set_title(f"{protocols.title(protocol)}, {kind.replace('_', ' ')}", fontsize=9)
            axis.set_ylim(0, 100)
        row[0].set_ylabel("Dice (%)")
    axes.flat[0].legend(fontsize=7, loc="upper left", ncols=len(results_by_title))
    figure.savefig(path, dpi=_DPI)


def classes(results_by_title: ResultsByTitle, path: Path, protocol: str = "5pt") -> None:
    """Draws the paper's figure 5 (c): Dice by class, bars for points and stars for boxes."""
    first = next(iter(results_by_title.values()))
    parts = first.parts("by_class")
    figure = figure_class()((13, 4), layout="constrained")
    axis = figure.subplots()
    width = 0.8 / len(results_by_title)
    for number, (title, results) in enumerate(results_by_title.items()):
        places = np.arange(len(parts)) + (number - (len(results_by_title) - 1) / 2) * width
        points, boxes = (
            [results.score(name, part=("by_class", part)).mean for part in parts]
            for name in (protocol, protocols.BOX)
        )
        drawn = axis.bar(places, points, width, label=f"{title}, {protocols.title(protocol)}")
        colour = drawn.patches[0].get_facecolor()
        axis.plot(
            places,
            boxes,
            "*",
            color=colour,
            markeredgecolor="black",
            markeredgewidth=0.4,
            label=f"{title}, Bbox",
        )
    labels = [f"{part.replace('_', ' ')} ({count})" for part, count in parts.items()]
    axis.set_xticks(np.arange(len(parts)), labels, rotation=60, ha="right", fontsize=7)
    axis.set_ylim(0, 100)
    axis.margins(x=0.01)
    axis.set_ylabel("Dice (%)")
    figure.legend(loc="outside upper right", fontsize=7, ncols=2 * len(results_by_title))
    figure.savefig(path, dpi=_DPI)


def prompts_grid(results_by_title: ResultsByTitle, root: str, path: Path, side: int = 150) -> None:
    """Draws the paper's figure 6: a row for each modality, a column for each model and prompt.

    Each row shows the median mask of its modality by the last model's mean Dice over all prompts,
    so that no mask is picked by hand.

    Args:
        results_by_title: Results by the title of the model.
        root: The data folder.
        path: Path of the picture.
        side: Side of a panel, pixels.
    """
    *_, last = results_by_title.values()
    by_modality = collections.defaultdict(list)
    for row in _rows(last.folders[0]):
        by_modality[row["modality"]].append(row)
    chosen = [sorted(rows, key=_mean_dice)[len(rows) // 2] for rows in by_modality.values()]
    masks = [(row["image"], row["mask"]) for row in chosen]
    examples = {title: replay(results, root, masks) for title, results in results_by_title.items()}
    rows = []
    for _, mask in masks:
        known = examples[next(iter(examples))][mask]
        modality = known.result.metadata.modality
        truth = visualization.draw_contour(
            visualization.resize_longest_side(known.image, side), known.truth, visualization.TRUTH
        )
        panels = [_labelled(truth, side, modality)]
        for by_mask in examples.values():
            example = by_mask[mask]
            for name in example.predicted:
                label = f"{protocols.title(name)}: {example.result.scores[name].dice:.2f}"
                panels.append(
                    _labelled(figures.prediction_picture(example, name, side), side, label)
                )
        rows.append(panels)
    heads = [visualization.label_bar("truth", side)]
    for title, by_mask in examples.items():
        heads += [
            visualization.label_bar(title, side) for _ in next(iter(by_mask.values())).predicted
        ]
    write_whole(path, visualization.encode_jpeg(visualization.grid([heads, *rows], gap=3)))


def fused(
    results_by_title: ResultsByTitle, root: str, path: Path, count: int = 5, side: int = 220
) -> None:
    """Draws the paper's figure 7: all targets of an image in one picture, by box and by one point.

    The images are those with the most masks, one from each dataset.

    Args:
        results_by_title: Results by the title of the model.
        root: The data folder.
        path: Path of the picture.
        count: Number of images.
        side: Side of a panel, pixels.
    """
    *_, last = results_by_title.values()
    images: dict[str, dict[str, list[str]]] = collections.defaultdict(dict)
    for row in _rows(last.folders[0]):
        images[row["dataset"]].setdefault(row["image"], []).append(row["mask"])
    fullest = [max(of_set.items(), key=lambda item: len(item[1])) for of_set in images.values()]
    chosen_images = sorted(fullest, key=lambda item: -len(item[1]))[:count]
    wanted = [(image, mask) for image, masks in chosen_images for mask in masks]
    examples = {title: replay(results, root, wanted) for title, results in results_by_title.items()}
    rows = []
    for _, masks in chosen_images:
        first = next(iter(examples.values()))
        picture = visualization.resize_longest_side(first[masks[0]].image, side)
        panels = [
            _labelled(_colored(picture, [first[mask].truth for mask in masks]), side, "truth")
        ]
        for name in (protocols.BOX, "1pt"):
            for title, by_mask in examples.items():
                if name not in by_mask[masks[0]].predicted:
                    continue  # Left out: the model takes boxes only.
                predicted = [by_mask[mask].predicted[name] for mask in masks]
                dice = np.mean([by_mask[mask].result.scores[name].dice for mask in masks])
                label = f"{title}, {protocols.title(name)}: {dice:.2f}"
                panels.append(_labelled(_colored(picture, predicted), side, label))
        rows.append(panels)
    write_whole(path, visualization.encode_jpeg(visualization.grid(rows, gap=3)))


def methods_grid(
    results_by_title: ResultsByTitle,
    protocol_of: Mapping[str, str],
    root: str,
    path: Path,
    side: int = 150,
) -> None:
    """Draws masks of all methods: a row for each modality, a column for each method.

    Each row shows the median mask of its modality by mean Dice over the methods, so that no mask is
    picked by hand, of those that are the only one of their class in the image.

    Args:
        results_by_title: Results by the title of the method.
        protocol_of: The protocol to show each by, by title.
        root: The data folder.
        path: Path of the picture.
        side: Side of a panel, pixels.
    """
    dice: dict[str, list[float]] = collections.defaultdict(list)
    for title, results in results_by_title.items():
        for row in _rows(results.folders[0]):
            dice[row["mask"]].append(float(row[f"dice_{protocol_of[title]}"]))
    listed = _rows(next(iter(results_by_title.values())).folders[0])
    count = collections.Counter((row["image"], row["class_name"]) for row in listed)
    by_modality = collections.defaultdict(list)
    for row in listed:
        if count[row["image"], row["class_name"]] == 1 and len(dice[row["mask"]]) == len(
            results_by_title
        ):
            by_modality[row["modality"]].append(row)
    chosen = [
        sorted(rows, key=lambda row: np.mean(dice[row["mask"]]))[len(rows) // 2]
        for rows in by_modality.values()
    ]
    masks = [(row["image"], row["mask"]) for row in chosen]
    examples = {
        title: replay(results, root, masks, (protocol_of[title],))
        for title, results in results_by_title.items()
    }
    rows = []
    for row in chosen:
        known = examples[next(iter(examples))][row["mask"]]
        picture = visualization.resize_longest_side(known.image, side)
        truth = visualization.draw_contour(picture, known.truth, visualization.TRUTH)
        panels = [_labelled(truth, side, row["modality"])]
        for title, by_mask in examples.items():
            example, name = by_mask[row["mask"]], protocol_of[title]
            drawn = figures.prediction_picture(example, name, side)
            label = f"{protocols.title(name)}: {example.result.scores[name].dice:.2f}"
            panels.append(_labelled(drawn, side, label))
        rows.append(panels)
    heads = [visualization.label_bar(title, side) for title in ("truth", *examples)]
    write_whole(path, visualization.encode_jpeg(visualization.grid([heads, *rows], gap=3)))


def replay(
    results: MethodResults,
    root: str,
    masks: Sequence[tuple[str, str]],
    protocol_names: tuple[str, ...] = (),
) -> dict[str, Example]:
    """Predicts some masks of an evaluation again, with the first seed's model and the same prompts.

    Args:
        results: Results of the evaluation.
        root: The data folder.
        masks: Pairs of an image and a mask.
        protocol_names: Protocols to predict by; empty for those of the evaluation.

    Returns:
        What there is to draw, by mask.
    """
    folder, report = results.folders[0], results.reports[0]
    model = conversion.load_or_convert(results.checkpoints[0], report["image_size"])
    settings = renames.translate({"evaluation": report["config"]})["evaluation"]
    config = fields.from_dict(EvalConfig, settings)
    config = dataclasses.replace(config, protocols=protocol_names or config.protocols)
    by_image = collections.defaultdict(list)
    for image, mask in masks:
        by_image[image].append(mask)
    samples = [Sample(image, tuple(of_image)) for image, of_image in by_image.items()]
    prompts = prompt_file.load(folder / "prompts.json")
    evaluation = evaluator.evaluate(model, root, samples, config, prompts, progress=False)
    examples = figures.examples(model, root, evaluation, evaluation.results)
    return {example.result.mask: example for example in examples}


def missing(results_by_title: ResultsByTitle, root: str) -> list[Path]:
    """Lists missing inputs of `prompts_grid` and `fused`: models, prompts, data."""
    needed = []
    for results in results_by_title.values():
        folder = results.folders[0]
        needed += [Path(results.checkpoints[0]), folder / "prompts.json", folder / "masks.csv"]
    return [path for path in (*needed, Path(root)) if not path.exists()]


def _rows(folder: Path) -> list[dict[str, Any]]:
    with (folder / "masks.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _mean_dice(row: Mapping[str, str]) -> float:
    wanted = [k for k in row if k.startswith("dice_") and not k.startswith("dice_oracle")]
    return float(np.mean([float(row[k]) for k in wanted if k != "dice_filled_box"]))


def _colored(picture: np.ndarray, masks: Sequence[np.ndarray]) -> np.ndarray:
    for number, mask in enumerate(masks):
        color = visualization.COLORS[number % len(visualization.COLORS)]
        picture = visualization.draw_contour(
            visualization.draw_mask(picture, mask, color), mask, color, 1
        )
    return picture


def _labelled(picture: np.ndarray, side: int, text: str) -> np.ndarray:
    """Centres a picture in a square, so that text above a narrow picture fits."""
    canvas = np.full((side, side, 3), visualization.PAPER, np.uint8)
    height, width = picture.shape[:2]
    top, left = (side - height) // 2, (side - width) // 2
    canvas[top : top + height, left : left + width] = picture
    return visualization.add_label(canvas, text)
