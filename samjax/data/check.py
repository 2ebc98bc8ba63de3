"""Finds the files that cannot be used before the first step, instead of hours into a run."""

import dataclasses
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


# What is done with a usable image while it is at hand: the sample, its pixels and their channel
# order, and its usable masks by path.
Look = Callable[[Sample, np.ndarray, str, Mapping[str, np.ndarray]], Any]


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
        resize: How images are fitted to it, see `samjax.data.inputs.Preprocessing`.
        threads: Threads that read files.

    Returns:
        The problems, in the order of the samples.
    """
    checked = each(root, samples, size, resize, threads)
    return [problem for problems, _ in checked for problem in problems]


def each(
    root: str | os.PathLike[str],
    samples: Sequence[Sample],
    size: int,
    resize: str,
    threads: int = 4,
    look: Look = lambda *_: None,
) -> Iterator[tuple[list[Problem], Any]]:
    """Checks sample by sample, see `check`, and looks at what is usable.

    Yields:
        For every sample its problems, and what `look` returned; None if its image is of no use.
    """
    with (
        ThreadPoolExecutor(threads) as pool,
        tqdm(total=len(samples), desc="checking", unit="image", disable=None) as bar,
    ):
        for start in range(0, len(samples), CHUNK):
            chunk = samples[start : start + CHUNK]
            for found in pool.map(lambda s: _check(Path(root), s, size, resize, look), chunk):
                yield found
                bar.update()


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


def _check(
    root: Path, sample: Sample, size: int, resize: str, look: Look
) -> tuple[list[Problem], Any]:
    path = root / sample.image
    try:
        image, order = read_image(path)
    except (DataError, MemoryError) as error:
        return [_unusable(path, sample.image, error)], None
    if not sample.masks:
        return [Problem(sample.image, "no_masks", f"{path}: expected a mask, found none")], None
    problems, masks = [], {}
    for name in sample.masks:
        problem, mask = _check_mask(root / name, name, image.shape[:2], size, resize)
        if problem:
            problems.append(problem)
        if not problem or problem.is_warning:
            masks[name] = mask
    return problems, look(sample, image, order, masks)


def _check_mask(
    path: Path, name: str, shape: tuple[int, ...], size: int, resize: str
) -> tuple[Problem | None, np.ndarray]:
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
    return (Problem(name, kind, f"{path}: {detail}") if kind else None), mask


def _unusable(path: Path, name: str, error: DataError | MemoryError) -> Problem:
    if isinstance(error, MemoryError):
        return Problem(name, "unreadable", f"{path}: cannot be read: too little memory")
    if isinstance(error, LayoutError):
        kind = "layout"
    else:
        kind = "unreadable" if path.exists() else "missing"
    return Problem(name, kind, str(error))
