"""Derives names of cases, subjects, datasets and modalities from paths."""

import hashlib
import re
import unicodedata
from pathlib import Path, PurePosixPath

from samjax.curation import filename_words
from samjax.data import metadata

_TOKENS = {
    "ct": "ct_00", "cbct": "ct_00", "mr": "mr_00", "mri": "mr_00", "t1": "mr_t1", "t2": "mr_t2",
    "t1w": "mr_t1", "t2w": "mr_t2", "t1n": "mr_t1", "t1dual": "mr_t1", "t2spir": "mr_t2",
    "t1ce": "mr_t1ce", "t1c": "mr_t1ce", "t1gd": "mr_t1ce", "flair": "mr_flair", "t2f": "mr_flair",
    "adc": "mr_adc", "dwi": "mr_dwi", "swi": "mr_swi", "pd": "mr_pd", "pdw": "mr_pd",
    "cine": "mr_cine", "pet": "pet_00", "us": "ultrasound_00", "ultrasound": "ultrasound_00",
    "xray": "x_ray", "cxr": "x_ray", "dermoscopy": "dermoscopy_00", "endoscopy": "endoscopy_00",
    "colonoscopy": "endoscopy_00", "fundus": "fundus_photography",
    "histopathology": "histopathology_00", "microscopy": "microscopy_00",
}  # fmt: skip
UNKNOWN = "unknown_00"


def modality(path: str, first: str = "") -> str:
    """Returns the modality's token by the words in a path; `first` is the file's own statement."""
    parts = re.split(r"[^a-z0-9]+", path.lower())
    tokens = [_TOKENS[part] for part in reversed(parts) if part in _TOKENS]  # The innermost first.
    if first and first != metadata.UNKNOWN:
        finer = [token for token in tokens if token.startswith(f"{first}_")]
        return (sorted(finer, key=lambda t: t.endswith("_00")) or [_TOKENS.get(first, first)])[0]
    return (sorted(tokens, key=lambda t: t.endswith("_00")) or [UNKNOWN])[0]


def is_modality(word: str) -> bool:
    """Whether a word names a modality or sequence."""
    return word.lower() in _TOKENS


def dataset_folder(path: str) -> str:
    """Returns the top folder of a file, or `.` if its name only means images or labels."""
    parts = PurePosixPath(path).parts
    return "." if len(parts) == 1 or filename_words.is_role(parts[0]) else parts[0]


def title(root: Path, folder: str) -> str:
    """Returns the default name of a dataset: that of the top folder."""
    name = PurePosixPath(folder).parts[0] if PurePosixPath(folder).parts else ""
    return name or root.resolve().name


def safe(name: str) -> str:
    """Returns a name for files, without special characters and without our separator.

    Accents, other alphabets and symbols are removed; a short hash of the whole then keeps names
    distinct.
    """
    name = unicodedata.normalize("NFC", str(name))
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    cleaned = re.sub(r"[^A-Za-z0-9.]+", "_", plain).strip("_.")
    if any(not c.isascii() and unicodedata.category(c)[0] in "LMNS" for c in name):
        return "_".join(filter(None, (cleaned, short_hash(name))))
    return cleaned


def label(name: str) -> str:
    """Returns a name for tables: letters of any alphabet, numbers and dots."""
    characters = (
        letter if unicodedata.category(letter)[0] in "LMN" or letter == "." else "_"
        for letter in unicodedata.normalize("NFC", str(name))
    )
    return re.sub("_+", "_", "".join(characters)).strip("_.") or short_hash(name)


def short_hash(name: str) -> str:
    """Returns a hash of eight characters."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
