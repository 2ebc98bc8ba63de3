"""Suggests a description for an unknown layout."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from samjax.curation import filename_words, naming, suffixes

_MOST = 12  # Most patterns in a message.
_VARYING = re.compile(r"[0-9a-f]{16,}|\d+", re.IGNORECASE)


def suggest(root: Path, folder: str, files: Sequence[str]) -> str:
    """Describes the files of a folder without pairs, and suggests a description.

    Args:
        root: Source folder.
        folder: Folder, relative to the source.
        files: Pictures and volumes in it.

    Returns:
        Counts of files by the pattern of their names, and a description in TOML, filled in by
        names and sizes as far as possible.
    """
    inner = [_below(folder, path) for path in files]
    groups = sorted(patterns(inner).items(), key=lambda one: -len(one[1]))
    lines = [f"{folder}: expected images with labels of their names, found"]
    lines += [f"    {len(members):,} x {pattern}" for pattern, members in groups[:_MOST]]
    if len(groups) > _MOST:
        rest = sum(len(members) for _, members in groups[_MOST:])
        lines.append(f"    {rest:,} files of {len(groups) - _MOST:,} other patterns")
    lines.append("  with this in FILE.toml, put right, --describe FILE.toml reads it:")
    lines += [f"    {line}" for line in description(root, folder, inner)]
    return "\n".join(lines)


def patterns(files: Sequence[str]) -> Mapping[str, list[str]]:
    """Groups paths whose names differ only in numbers and hashes, which become `#`."""
    groups: dict[str, list[str]] = defaultdict(list)
    for path in files:
        groups[_VARYING.sub("#", path)].append(path)
    return groups


def description(root: Path, folder: str, files: Sequence[str]) -> list[str]:
    """Returns the lines of a description of a folder, filled in as far as can be guessed."""
    modality = naming.modality(f"{root.name}/{folder}/{files[0]}")
    lines = [
        "[[dataset]]",
        f'folder = "{folder}"',
        f'modality = "{modality}"  # such as ct_00, mr_t1, ultrasound_00, endoscopy_00',
    ]
    guess = _guess(root / folder, files)
    if guess is None:
        image = files[0]
        suffix = image[len(filename_words.without_suffix(image)) :]
        lines += [
            f'images = "{PurePosixPath(image).parent}/*{suffix}"  # which are the images?',
            'labels = "LABELS/{stem}' + suffix + '"  # which are theirs? LABELS is to be replaced',
        ]
    else:
        images, match, labels = guess
        lines += [f'images = "{images}"', f"match = '{match}'", f'labels = "{labels}"']
    return [*lines, 'class_name = "object"  # or classes = {liver = 1, spleen = 2}']


def _guess(folder: Path, files: Sequence[str]) -> tuple[str, str, str] | None:
    """Guesses the patterns of images and labels: the two that share the most numbers.

    Labels are recognised by words in their names, or as the smaller files.
    """
    groups = sorted(patterns(files).values(), key=len)[-_MOST:]
    best: tuple[int, list[str], list[str], int, int] | None = None
    for one in groups:
        for other in groups:
            if one is other or not _is_image(folder, one, other):
                continue
            for i, ids in enumerate(zip(*map(_VARYING.findall, one), strict=True)):
                for j, others in enumerate(zip(*map(_VARYING.findall, other), strict=True)):
                    shared = len({*ids} & {*others})
                    if shared > (best[0] if best else 0):
                        best = shared, one, other, i, j
    if best is None:
        return None
    _, images, labels, i, j = best
    before, after = _split(images[0], i)
    match = re.sub(r"\d+", r"\\d+", re.escape(before.rpartition("/")[2]).replace("\\_", "_"))
    found = r"([0-9a-f]+)" if not _VARYING.findall(images[0])[i].isdecimal() else r"(\d+)"
    behind = re.escape(after[:1]) if after else ""
    first, last = _split(labels[0], j)
    return (
        _VARYING.sub("*", images[0]),
        f"{match}{found}{behind}".replace("\\ ", " ").replace("\\-", "-"),
        _VARYING.sub("*", first) + "{id}" + _VARYING.sub("*", last),
    )


def _is_image(folder: Path, one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether the first of two patterns is that of images, and the second that of labels."""
    by_word = [bool(filename_words.labels_among(group)) for group in (one, other)]
    same_kind = (suffixes.format_of(one[0]) == "pictures") == (
        suffixes.format_of(other[0]) == "pictures"
    )
    if by_word[0] != by_word[1]:
        return same_kind and by_word[1]
    sizes = [sum((folder / p).stat().st_size for p in g[:20]) / len(g[:20]) for g in (one, other)]
    return same_kind and (sizes[0], one[0]) > (sizes[1], other[0])


def _split(path: str, number: int) -> tuple[str, str]:
    """Splits a path at the nth of the varying parts."""
    match = [*_VARYING.finditer(path)][number]
    return path[: match.start()], path[match.end() :]


def _below(folder: str, path: str) -> str:
    return str(PurePosixPath(path).relative_to(folder)) if folder != "." else path
