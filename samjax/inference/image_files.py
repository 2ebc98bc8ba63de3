"""Which image files to predict on, and what their results are called."""

import dataclasses
import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from samjax.inference.manifest import JOURNAL, MANIFEST, result_files
from samjax.inference.prompt_files import Objects

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image to predict on.

    Attributes:
        path: The file.
        name: Its path from the folder that all the images lie in, with forward slashes.
        stem: What its output files begin with: `name` without suffix, if that is unique.
    """

    path: Path
    name: str
    stem: str


def find_images(paths: Sequence[str | Path], out: str | Path) -> list[ImageFile]:
    """Lists image files, those in folders and their subfolders included.

    Args:
        paths: Files and folders; a file need not exist, it fails when it is read.
        out: Where results go; what lies there, or is named in the manifest of another run, is no
            input.

    Raises:
        ValueError: A folder holds no image, or results would go among its images.
    """
    out = Path(os.path.abspath(out))
    found: dict[Path, None] = {}  # In order, each once.
    roots = []
    for path in (Path(os.path.abspath(path)) for path in paths):
        roots.append(path if path.is_dir() else path.parent)
        found.update(dict.fromkeys(_inside(path, out) if path.is_dir() else [path]))
    root = _common(roots)
    names = [path.relative_to(root) for path in found]
    stems = Counter(name.with_suffix("") for name in names)
    images = []
    for path, name in zip(found, names, strict=True):
        unique = stems[name.with_suffix("")] == 1
        stem = name.with_suffix("") if unique else name.with_name(name.name.replace(".", "_"))
        images.append(ImageFile(path, name.as_posix(), stem.as_posix()))
    return images


def assign(
    prompts: dict[str, Objects], images: Sequence[ImageFile]
) -> tuple[dict[ImageFile, Objects], list[str]]:
    """Finds the image that each entry of a prompts file is about.

    An entry names an image by its path, by its path from the folder given, or by its file name
    where that is unique; separators of Windows and either form of accents will do.

    Returns:
        Objects by image, and the entries about none of the images.

    Raises:
        ValueError: An entry may mean several images, or two entries mean the same.
    """
    known: dict[str, list[ImageFile]] = {}
    for image in images:
        for key in {image.name, str(image.path), image.path.name, *map(_plain, _names(image))}:
            known.setdefault(key, []).append(image)
    exact = {image.name: image for image in images} | {str(i.path): i for i in images}
    assigned: dict[ImageFile, Objects] = {}
    unmatched = []
    for key, objects in prompts.items():
        image = exact.get(key) or exact.get(os.path.abspath(key))
        matches = [image] if image else known.get(key) or known.get(_plain(key), [])
        if len(matches) > 1:
            found = " and ".join(match.name for match in matches)
            raise ValueError(f"prompts: {key} may be {found}; write the folder as well")
        if matches and matches[0] in assigned:
            raise ValueError(f"prompts: {matches[0].name} is named in two ways")
        assigned.update({match: objects for match in matches})
        if not matches:
            unmatched.append(key)
    return assigned, unmatched


def _inside(folder: Path, out: Path) -> list[Path]:
    """Images in a folder and those within it, but for results."""
    if out in (folder, *folder.parents):
        raise ValueError(
            f"--out: expected a folder that does not hold the images themselves, found {out}; take "
            f"one inside {folder} or beside it"
        )
    candidates = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in SUFFIXES]
    # A link to nowhere fails when it is read, by name.
    candidates = [p for p in candidates if out not in p.parents and not p.is_dir()]
    folders = {path.parent for name in (MANIFEST, JOURNAL) for path in folder.rglob(name)}
    made = {above / name for above in folders for name in result_files(above)}
    inside = [path for path in candidates if path not in made]
    if len(inside) < len(candidates):
        _log.warning("left out: %d files that a %s names", len(candidates) - len(inside), MANIFEST)
    if not inside:
        raise ValueError(f"{folder}: expected images ({' '.join(SUFFIXES)}), found none")
    return inside


def _names(image: ImageFile) -> tuple[str, str, str]:
    return image.name, str(image.path), image.path.name


def _plain(path: str) -> str:
    """A path as any system would spell it."""
    return Path(unicodedata.normalize("NFC", path).replace("\\", "/")).as_posix()


def _common(folders: Sequence[Path]) -> Path:
    """The innermost folder that holds, or is, each of the folders."""
    first = folders[0]
    return next(p for p in (first, *first.parents) if all(f.is_relative_to(p) for f in folders))
