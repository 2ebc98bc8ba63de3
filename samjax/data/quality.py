"""Finds errors and warnings in a data folder.

An error is a file that cannot be used: it is found before the first step, instead of hours into a
run. A warning is a file that can be used, but looks wrong.
"""

import dataclasses
import functools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from samjax.data.files import DataError, LayoutError, binarise, decode, read_image
from samjax.data.index import Sample
from samjax.data.inputs import place, prepare_mask

CHUNK = 1024  # Samples handed to the threads at a time, so that memory stays bounded.
# Living tissue under white light is red: a blue one has its channels the wrong way round.
RED = ("dermoscopy", "endoscopy", "fundus_photography")
MIN_CONTRAST = 2.0  # Standard deviation of grey values below which an image shows nothing.
WARNINGS = ("not_binary", "flat", "two_values", "colour_order", "inverted")


@dataclasses.dataclass(frozen=True)
class QualityIssue:
    """An error or a warning about one file.

    Attributes:
        path: The file, relative to the data folder.
        kind: `missing`, `unreadable`, `layout` (16 bits, colours, labels), `shape` (mask and image
            differ), `empty`, `vanished` (empty at the network's input size), `no_masks` (an image
            without any), the warning `not_binary` (grey values, thresholded at half), or a warning
            of `inspect_image` or `inspect_mask`.
        detail: Message with the file, the expected and the found.
    """

    path: str
    kind: str
    detail: str

    @property
    def is_warning(self) -> bool:
        """Whether the file can be used nevertheless."""
        return self.kind in WARNINGS


# Called with every usable image: the sample, its pixels, their channel order, and its usable masks
# by path.
Visitor = Callable[[Sample, np.ndarray, str, Mapping[str, np.ndarray]], Any]


def check_samples(
    root: str | os.PathLike[str],
    samples: Sequence[Sample],
    size: int,
    resize: str,
    threads: int = 4,
) -> list[QualityIssue]:
    """Reads every image and mask once, and returns the issues found.

    Args:
        root: The folder that the samples' paths are relative to.
        samples: Samples to check.
        size: Side of the network's input, pixels: a mask must survive being resized to it.
        resize: Kind of resizing, see `samjax.data.inputs.Preprocessing`.
        threads: Threads that read files.

    Returns:
        The issues, in the order of the samples.
    """
    checked = check_and_visit(root, samples, size, resize, threads)
    return [issue for issues, _ in checked for issue in issues]


def check_and_visit(
    root: str | os.PathLike[str],
    samples: Sequence[Sample],
    size: int,
    resize: str,
    threads: int = 4,
    visit: Visitor = lambda *_: None,
) -> Iterator[tuple[list[QualityIssue], Any]]:
    """Checks samples one by one, see `check_samples`, and calls a function with the usable ones.

    Yields:
        The issues of every sample, and the result of `visit`; None if its image cannot be used.
    """
    check = functools.partial(_check_sample, Path(root), size, resize, visit)
    with (
        ThreadPoolExecutor(threads) as pool,
        tqdm(total=len(samples), desc="checking", unit="image", disable=None) as bar,
    ):
        for start in range(0, len(samples), CHUNK):
            for result in pool.map(check, samples[start : start + CHUNK]):
                yield result
                bar.update()


def select_usable(
    samples: Sequence[Sample], issues: Sequence[QualityIssue], on_bad: str
) -> list[Sample]:
    """Leaves out the bad masks, the bad images, and the images with no mask left.

    Args:
        samples: Samples that were checked.
        issues: Issues found by `check_samples`.
        on_bad: `skip`, or `error` to refuse.

    Raises:
        DataError: There are bad files and `on_bad` is `error`, or nothing is left.
    """
    bad = {issue.path for issue in issues if not issue.is_warning}
    if bad and on_bad == "error":
        raise DataError(format_report(issues, len(samples), named=100))
    usable = (
        dataclasses.replace(sample, masks=tuple(mask for mask in sample.masks if mask not in bad))
        for sample in samples
        if sample.image not in bad
    )
    usable = [sample for sample in usable if sample.masks]
    if not usable:
        raise DataError(f"no usable image is left. {format_report(issues, len(samples))}")
    return usable


def format_report(issues: Sequence[QualityIssue], images: int, named: int = 5) -> str:
    """Sums up the issues of `images` checked images, and names the first few bad files."""
    bad = [issue for issue in issues if not issue.is_warning]
    counts = Counter(issue.kind for issue in issues)
    if not counts:
        return f"{images} images checked, no problem found"
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    lines = [f"{images} images checked, {len(bad)} bad files ({kinds})"]
    lines += [f"  {issue.detail}" for issue in bad[:named]]
    if len(bad) > named:
        lines.append(f"  and {len(bad) - named} more")
    return "\n".join(lines)


def inspect_image(image: np.ndarray, order: str, modality: str) -> tuple[str, str] | None:
    """Looks for a sign that an image is wrong, though it can be used.

    Args:
        image: (h, w) or (h, w, 3) uint8.
        order: Order of its channels, `rgb` or `bgr`.
        modality: One of the paper's ten, or anything else.

    Returns:
        The kind of the warning (`flat`, `two_values` or `colour_order`) and its detail; None if
        there is no warning.
    """
    spread = float(image.std())
    if spread < MIN_CONTRAST:
        return "flat", f"expected contrast, found a standard deviation of {spread:.1f} grey values"
    values = np.count_nonzero(np.bincount(image.reshape(-1), minlength=256))
    if values <= 2:
        return "two_values", "expected an image, found two values; is it a mask?"
    if image.ndim == 3 and modality in RED:
        first, _, last = (float(x) for x in image.mean((0, 1)))
        red, blue = (first, last) if order == "rgb" else (last, first)
        if blue > red:
            return "colour_order", (
                f"expected more red than blue in {modality}, found red {red:.0f} and blue "
                f"{blue:.0f}; is it stored as BGR?"
            )
    return None


def inspect_mask(mask: np.ndarray) -> tuple[str, str] | None:
    """Looks for a sign that a mask is wrong, though it can be used.

    Args:
        mask: (h, w) uint8, 0 or 1.

    Returns:
        The kind of the warning (`inverted`) and its detail; None if there is no warning.
    """
    share = float(mask.mean())
    corners = mask[[0, 0, -1, -1], [0, -1, 0, -1]]
    if share > 0.5 and corners.all():
        return "inverted", (
            f"expected an object, found {share:.0%} of the image with all four corners; inverted?"
        )
    return None


def _check_sample(
    root: Path, size: int, resize: str, visit: Visitor, sample: Sample
) -> tuple[list[QualityIssue], Any]:
    path = root / sample.image
    try:
        image, order = read_image(path)
    except (DataError, MemoryError) as error:
        return [_unusable(path, sample.image, error)], None
    if not sample.masks:
        detail = f"{path}: expected a mask, found none"
        return [QualityIssue(sample.image, "no_masks", detail)], None
    issues, masks = [], {}
    for name in sample.masks:
        issue, mask = _check_mask(root / name, name, image.shape[:2], size, resize)
        if issue:
            issues.append(issue)
        if not issue or issue.is_warning:
            masks[name] = mask
    return issues, visit(sample, image, order, masks)


def _check_mask(
    path: Path, name: str, shape: tuple[int, ...], size: int, resize: str
) -> tuple[QualityIssue | None, np.ndarray]:
    try:
        stored = decode(path)
        mask = binarise(stored, path)
    except (DataError, MemoryError) as error:
        return _unusable(path, name, error), np.zeros(0)
    height, width = mask.shape
    colours = stored[..., 0] if stored.ndim == 3 else stored
    kind = detail = ""
    if mask.shape != shape:
        kind = "shape"
        detail = f"expected a mask of the image's shape {shape}, found {mask.shape}"
    elif not mask.any():
        kind, detail = "empty", "expected foreground, found none"
    elif not prepare_mask(mask, size, place(height, width, size, resize)).any():
        kind = "vanished"
        detail = f"{int(mask.sum())} pixels of foreground, none left at {size} x {size}"
    elif np.count_nonzero(np.bincount(colours.ravel(), minlength=256)) > 2:
        kind = "not_binary"
        detail = "expected two values, found grey ones between; taken as mask above 127"
    return (QualityIssue(name, kind, f"{path}: {detail}") if kind else None), mask


def _unusable(path: Path, name: str, error: DataError | MemoryError) -> QualityIssue:
    if isinstance(error, MemoryError):
        return QualityIssue(name, "unreadable", f"{path}: cannot be read: too little memory")
    if isinstance(error, LayoutError):
        kind = "layout"
    else:
        kind = "unreadable" if path.exists() else "missing"
    return QualityIssue(name, kind, str(error))
