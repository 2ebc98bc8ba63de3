"""Statistics of a data folder, and a figure of them like the paper's figure 3."""

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from samjax import extra
from samjax.data import classes, index, metadata
from samjax.data.files import DataError, read_image, read_mask, whole

_MOST = 31  # Most classes in a figure; the paper shows as many organs.


def stats(root: str | os.PathLike[str], splits: Sequence[str]) -> dict[str, Any]:
    """Counts a folder's images and masks, and measures them.

    Args:
        root: The data folder.
        splits: Splits to count.

    Returns:
        `images` and `masks` by split; `by_modality`, `by_anatomy`, `by_dataset` and `by_class`:
        images, masks and subjects of each part; `sides`: shorter and longer side of every image,
        pixels; `area_share`: share of its image that each mask covers; `intensities`: share of
        pixels at each of 256 grey values, mean over images, by modality; `unreadable`: messages
        on files that could not be read, and are not counted; `overlaps`: pixels that masks of
        different classes share, by split, see `samjax.data.classes.Overlaps`.

    Raises:
        DataError: A split has no index.
    """
    counts: dict[str, dict[str, dict[str, set[str]]]] = {
        f"by_{kind}": {} for kind in ("modality", "anatomy", "dataset", "class")
    }
    images, masks = Counter(), Counter()
    sides, shares, unreadable = [], [], []
    overlaps: dict[str, classes.Overlaps] = {}
    histograms: dict[str, list[np.ndarray]] = {}
    for split in splits:
        overlapping = classes.Overlaps()
        samples = index.load_index(root, split)
        described = index.load_metadata(root, samples)
        for sample in tqdm(samples, desc=split, unit="image", disable=None):
            try:
                image, _ = read_image(Path(root) / sample.image)
            except DataError as error:
                unreadable.append(str(error))
                continue
            images[split] += 1
            sides.append(sorted(image.shape[:2]))
            read: dict[str, np.ndarray] = {}
            for path in sample.masks:
                about = described[path]
                try:
                    mask = read_mask(Path(root) / path)
                except DataError as error:
                    unreadable.append(str(error))
                    continue
                shares.append(round(float(mask.mean()), 6))
                masks[split] += 1
                if mask.shape == image.shape[:2]:
                    read[path] = mask
                modality = metadata.modality_of(about.modality)
                for kind, value in (
                    ("modality", modality),
                    ("anatomy", about.anatomy),
                    ("dataset", about.dataset),
                    ("class", about.class_name),
                ):
                    part = counts[f"by_{kind}"].setdefault(
                        value, {"images": set(), "masks": set(), "subjects": set()}
                    )
                    part["images"].add(sample.image)
                    part["masks"].add(path)
                    part["subjects"].add(str(sample.subject))
            names = [described[path].class_name for path in read]
            overlapping += classes.overlaps([*read.values()], names)
            if sample.masks:
                histogram = np.bincount(image.reshape(-1), minlength=256) / image.size
                modality = metadata.modality_of(described[sample.masks[0]].modality)
                histograms.setdefault(modality, []).append(histogram)
        overlaps[split] = overlapping
    return {
        "images": {split: images[split] for split in splits},
        "masks": {split: masks[split] for split in splits},
        "unreadable": unreadable,
        "overlaps": {split: dataclasses.asdict(found) for split, found in overlaps.items()},
        **{
            kind: {
                name: {unit: len(members) for unit, members in part.items()}
                for name, part in sorted(parts.items(), key=lambda item: -len(item[1]["masks"]))
            }
            for kind, parts in counts.items()
        },
        "sides": sides,
        "area_share": shares,
        "intensities": {
            modality: np.round(np.mean(found, axis=0), 6).tolist()
            for modality, found in sorted(histograms.items())
        },
    }


def draw(found: dict[str, Any], path: Path) -> None:
    """Draws the result of `stats`: modalities, anatomy, classes, sizes, areas and intensities.

    Raises:
        MissingLibrary: Matplotlib is not installed.
    """
    figure_module = extra.require("matplotlib.figure", "data")
    figure = figure_module.Figure((14, 9), layout="constrained")
    axes = figure.subplot_mosaic("MMAAD;CCCCC;SSRRI")
    for name, kind, title in (
        ("M", "by_modality", "modality"), ("A", "by_anatomy", "anatomy"),
        ("D", "by_dataset", "dataset"), ("C", "by_class", "class"),
    ):  # fmt: skip
        _bars(axes[name], found[kind], title)
    sides = np.array(found["sides"]).reshape(-1, 2)
    axes["S"].plot(sides[:, 1], sides[:, 0], ".", alpha=0.3)
    axes["S"].set(xlabel="longer side (pixels)", ylabel="shorter side", title="image sizes")
    shares = 100 * np.array(found["area_share"])
    # Wider than the data, which may be a single area, or none.
    bins = np.geomspace(max(min([*shares, 1.0]), 1e-3) / 1.1, max([*shares, 1.0]) * 1.1, 40)
    axes["R"].hist(shares, bins)
    axes["R"].set(xscale="log", xlabel="share of the image (%)", title="area of masks")
    for modality, histogram in found["intensities"].items():
        axes["I"].plot(np.array(histogram) * 100, label=modality, linewidth=0.8)
    axes["I"].set(yscale="log", xlabel="grey value", ylabel="% of pixels", title="intensities")
    if found["intensities"]:
        axes["I"].legend(fontsize=6)
    for axis in axes.values():
        axis.title.set_fontsize(9)
    with whole(path) as partial:
        figure.savefig(partial, format="png", dpi=110)


def _bars(axis: Any, parts: dict[str, dict[str, int]], title: str) -> None:
    largest = dict(list(parts.items())[:_MOST])
    places = np.arange(len(largest))
    for number, unit in enumerate(("images", "masks")):
        axis.bar(places + 0.4 * number - 0.2, [p[unit] for p in largest.values()], 0.4, label=unit)
    labels = [name.replace("_", " ") for name in largest]
    axis.set_xticks(places, labels, rotation=60, ha="right", fontsize=7)
    axis.set_xlim(-0.6, max(len(largest), 5) - 0.4)
    axis.set_yscale("log")
    axis.set_ylim(bottom=0.7)  # A bar of one image is visible, and all bars have one base.
    left = f", the {_MOST} largest of {len(parts)}" if len(parts) > _MOST else ""
    axis.set_title(f"by {title}{left}")
    axis.legend(fontsize=6)
