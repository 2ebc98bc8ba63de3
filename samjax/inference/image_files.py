"""Image files to predict on, and the names of their results."""

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
    """Image file to predict on.

    Attributes:
        path: Path of the file.
        name: Path relative to the folder that holds all images, with forward slashes.
        stem: Prefix of its output files: `name` without suffix, if that is unique.
    """

    path: Path
    name: str
    stem: str


def find_images(paths: Sequence[str | Path], out: str | Path) -> list[ImageFile]:
    """Lists image files, those in folders and their subfolders included.

    Args:
        paths: Files and folders. A file need not exist here; reading it fails later.
        out: Folder of the results. Images in it, and images that another manifest names, are left
            out.

    Returns:
        The images, each once.

    Raises:
        ValueError: A folder holds no image, or `out` is or holds that folder.
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
    """Finds the image of each entry of a prompts file.

    An entry names an image by its path, by its path relative to the given folder, or by its file
    name if that is unique. Separators of Windows and any Unicode form of accents are accepted.

    Returns:
        Objects by image, and the entries that match no image.

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
    """Returns images in a folder and its subfolders, without results of predictions."""
    if out in (folder, *folder.parents):
        raise ValueError(
            f"--out: expected a folder that does not hold the images themselves, found {out}; take "
            f"one inside {folder} or beside it"
        )
    candidates = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in SUFFIXES]
    # A broken link is kept: reading it fails with its name.
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
    """Returns a path with forward slashes and composed accents (NFC)."""
    return Path(unicodedata.normalize("NFC", path).replace("\\", "/")).as_posix()


def _common(folders: Sequence[Path]) -> Path:
    """Returns the innermost folder that holds, or is, each of the folders."""
    first = folders[0]
    return next(p for p in (first, *first.parents) if all(f.is_relative_to(p) for f in folders))
