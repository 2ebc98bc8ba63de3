"""Checks a data folder: what training could not use, and what only looks wrong."""

import dataclasses
import functools
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from samjax import drawing
from samjax.curation import left_out
from samjax.data import check, index, metadata, suspicion
from samjax.data.check import Problem
from samjax.data.files import read_mask, write_whole
from samjax.data.index import Sample

COPY, REPEATED = "copy", "repeated"
_NAMED = 5  # Files of a kind that a report names.


@dataclasses.dataclass(frozen=True)
class Audit:
    """What a check has found.

    Attributes:
        images: Images checked.
        masks: Masks checked.
        bad: What cannot be used.
        suspicious: What can, but looks wrong.
        copies: Images of the training split that the test split has, too.
    """

    images: int
    masks: int
    bad: tuple[Problem, ...]
    suspicious: tuple[Problem, ...]
    copies: tuple[Problem, ...]

    @property
    def is_clean(self) -> bool:
        """Whether nothing has to be mended."""
        return not self.bad and not self.copies

    def __str__(self) -> str:
        lines = [f"{self.images:,} images with {self.masks:,} masks checked"]
        for title, problems in (
            ("cannot be used", self.bad),
            ("in training and test", self.copies),
            ("worth a look", self.suspicious),
        ):
            kinds: dict[str, list[Problem]] = defaultdict(list)
            for problem in problems:
                kinds[problem.kind].append(problem)
            for kind, of_kind in sorted(kinds.items(), key=lambda item: -len(item[1])):
                lines.append(f"{title}: {len(of_kind):,} {kind}")
                lines += [f"  {problem.detail}" for problem in of_kind[:_NAMED]]
                if len(of_kind) > _NAMED:
                    lines.append(f"  and {len(of_kind) - _NAMED:,} more")
        return "\n".join(lines if len(lines) > 1 else [*lines, "no problem found"])


def audit(
    root: str | os.PathLike[str],
    splits: Sequence[str],
    size: int = 256,
    resize: str = "longest_side",
    threads: int = 4,
) -> Audit:
    """Reads every image and mask of some splits.

    Args:
        root: The data folder.
        splits: Splits; copies are looked for between any two of them.
        size: Side of the network's input: a mask must survive being resized to it.
        resize: How images are fitted to it, see `samjax.data.inputs.InputConfig`.
        threads: Threads that read files.

    Raises:
        DataError: There is no index of a split.
    """
    of_split = {split: index.load_index(root, split) for split in splits}
    sides = [split for split, samples in of_split.items() for _ in samples]
    samples = [sample for of_one in of_split.values() for sample in of_one]
    look = functools.partial(_look, Path(root), index.load_metadata(root, samples))
    checked = check.each(root, samples, size, resize, threads, look)
    bad, suspicious, copies = [], [], []
    for split in of_split:
        for path, count in index.repeated(root, split).items():
            detail = f"{Path(root) / path}: listed {count} times in the split {split}, used once"
            suspicious.append(Problem(path, REPEATED, detail))
    seen: dict[str, tuple[str, str]] = {}
    for split, sample, (found, looked) in zip(sides, samples, checked, strict=True):
        digest, suspicions = looked or ("", [])
        bad += [problem for problem in found if not problem.is_warning]
        suspicious += [problem for problem in found if problem.is_warning] + suspicions
        first = seen.setdefault(digest, (split, sample.image)) if digest else (split, "")
        if first[0] != split:
            detail = f"{Path(root) / first[1]} ({first[0]}) is in {split} as {sample.image}"
            copies.append(Problem(first[1], COPY, detail))
    return Audit(
        images=len(samples),
        masks=sum(len(sample.masks) for sample in samples),
        bad=tuple(bad),
        suspicious=tuple(suspicious),
        copies=tuple(copies),
    )


def fix(root: str | os.PathLike[str], found: Audit) -> list[str]:
    """Mends what is safe to mend; images are never touched, and no file is deleted.

    What cannot be used, and training images that the test has, too, leave the index files (which
    are kept as `<name>.before`), also of later runs of `prepare`, see `left_out`. Masks with grey
    edges are written anew, as 0 and 255.

    Returns:
        What was done, in words.
    """
    done = []
    leave = {problem.path: problem.detail for problem in (*found.bad, *found.copies)}
    repeated = {problem.path for problem in found.suspicious if problem.kind == REPEATED}
    files = index.remove(root, leave) if leave or repeated else []
    if repeated:
        done.append(f"listed once: {len(repeated)} files")
    if leave:
        left_out.add(Path(root), leave)
        names = ", ".join(path.name for path in files)
        done.append(
            f"left out of {names or 'no index'}: {len(leave)} files, listed in {left_out.NAME}"
        )
    grey = [p.path for p in found.suspicious if p.kind == "not_binary" and p.path.endswith(".png")]
    for path in grey:
        mask = read_mask(Path(root) / path)
        write_whole(Path(root) / path, drawing.encode_png(mask * np.uint8(255)))
    if grey:
        done.append(f"written anew as 0 and 255: {len(grey)} masks")
    return done


def _look(
    root: Path,
    described: Mapping[str, metadata.Metadata],
    sample: Sample,
    image: np.ndarray,
    order: str,
    masks: Mapping[str, np.ndarray],
) -> tuple[str, list[Problem]]:
    """A digest of an image, and what looks wrong in it or in its masks."""
    modality = metadata.modality_of(described[sample.masks[0]].modality)
    found = [(sample.image, suspicion.of_image(image, order, modality))]
    found += [(path, suspicion.of_mask(mask)) for path, mask in masks.items()]
    problems = [
        Problem(path, kind_detail[0], f"{root / path}: {kind_detail[1]}")
        for path, kind_detail in found
        if kind_detail
    ]
    return suspicion.digest(image), problems
