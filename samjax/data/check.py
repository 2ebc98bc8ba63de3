"""Finds the files that cannot be used before the first step, instead of hours into a run."""

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from samjax.data.files import DataError, LayoutError, binarise, decode, read_image
from samjax.data.index import Sample
from samjax.data.inputs import place, prepare_mask

CHUNK = 1024  # Samples handed to the threads at a time, so that memory stays bounded.


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is wrong with one file.

    Attributes:
        path: The file, relative to the data folder.
        kind: `missing`, `unreadable`, `layout` (16 bits, colours, labels), `shape` (mask and image
            differ), `empty`, `vanished` (empty at the network's input size), `no_masks` (an image
            without any), or the warning `not_binary` (grey values, thresholded at half).
        detail: What was expected and found.
    """

    path: str
    kind: str
    detail: str

    @property
    def is_warning(self) -> bool:
        """Whether the file can be used all the same."""
        return self.kind == "not_binary"


def check(
    root: str | os.PathLike[str],
    samples: Sequence[Sample],
    size: int,
    resize: str,
    threads: int = 4,
) -> list[Problem]:
    """Reads every image and mask once, and reports what training could not use.

    Args:
        root: The folder that the samples' paths are relative to.
        samples: What to check.
        size: Side of the network's input, pixels: a mask must survive being resized to it.
        resize: How images are fitted to it, see `samjax.data.inputs.InputConfig`.
        threads: Threads that read files.

    Returns:
        The problems, in the order of the samples.
    """
    problems: list[Problem] = []
    with (
        ThreadPoolExecutor(threads) as pool,
        tqdm(total=len(samples), desc="checking", unit="image", disable=None) as bar,
    ):
        for start in range(0, len(samples), CHUNK):
            chunk = samples[start : start + CHUNK]
            for found in pool.map(lambda s: _check_sample(Path(root), s, size, resize), chunk):
                problems.extend(found)
                bar.update()
    return problems


def without_bad(
    samples: Sequence[Sample], problems: Sequence[Problem], on_bad: str
) -> list[Sample]:
    """Leaves out the bad masks, the bad images, and the images with no mask left.

    Args:
        samples: What was checked.
        problems: What `check` found.
        on_bad: `skip`, or `error` to refuse.

    Raises:
        DataError: There are bad files and `on_bad` is `error`, or nothing is left.
    """
    bad = {problem.path for problem in problems if not problem.is_warning}
    if bad and on_bad == "error":
        raise DataError(report(problems, len(samples), named=100))
    kept = (
        dataclasses.replace(sample, masks=tuple(mask for mask in sample.masks if mask not in bad))
        for sample in samples
        if sample.image not in bad
    )
    kept = [sample for sample in kept if sample.masks]
    if not kept:
        raise DataError(f"no usable image is left. {report(problems, len(samples))}")
    return kept


def report(problems: Sequence[Problem], images: int, named: int = 5) -> str:
    """Sums up what `check` found among `images` images, with the first few files by name."""
    bad = [problem for problem in problems if not problem.is_warning]
    counts = Counter(problem.kind for problem in problems)
    if not counts:
        return f"{images} images checked, no problem found"
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    lines = [f"{images} images checked, {len(bad)} bad files ({kinds})"]
    lines += [f"  {problem.detail}" for problem in bad[:named]]
    if len(bad) > named:
        lines.append(f"  and {len(bad) - named} more")
    return "\n".join(lines)


def _check_sample(root: Path, sample: Sample, size: int, resize: str) -> list[Problem]:
    path = root / sample.image
    try:
        shape = read_image(path)[0].shape[:2]
    except DataError as error:
        return [_unusable(path, sample.image, error)]
    if not sample.masks:
        return [Problem(sample.image, "no_masks", f"{path}: expected a mask, found none")]
    found = (_check_mask(root / mask, mask, shape, size, resize) for mask in sample.masks)
    return [problem for problem in found if problem]


def _check_mask(
    path: Path, name: str, shape: tuple[int, ...], size: int, resize: str
) -> Problem | None:
    try:
        stored = decode(path)
        mask = binarise(stored, path)
    except DataError as error:
        return _unusable(path, name, error)
    if mask.shape != shape:
        detail = f"{path}: expected a mask of the image's shape {shape}, found {mask.shape}"
        return Problem(name, "shape", detail)
    if not mask.any():
        return Problem(name, "empty", f"{path}: expected foreground, found none")
    height, width = mask.shape
    if not prepare_mask(mask, size, place(height, width, size, resize)).any():
        detail = f"{path}: {int(mask.sum())} pixels of foreground, none left at {size} x {size}"
        return Problem(name, "vanished", detail)
    colours = stored[..., 0] if stored.ndim == 3 else stored
    if len(np.flatnonzero(np.bincount(colours.ravel(), minlength=256))) > 2:
        detail = f"{path}: expected two values, found grey ones between; taken as mask above 127"
        return Problem(name, "not_binary", detail)
    return None


def _unusable(path: Path, name: str, error: DataError) -> Problem:
    if isinstance(error, LayoutError):
        kind = "layout"
    else:
        kind = "unreadable" if path.exists() else "missing"
    return Problem(name, kind, str(error))
