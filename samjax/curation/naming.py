"""Names of cases, subjects, datasets and modalities, from paths and descriptions."""

import re
from pathlib import Path, PurePosixPath

from samjax.curation import words
from samjax.curation.options import Dataset
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


def subject(known: Dataset, image: str, otherwise: str) -> str:
    """The subject of an image: what the description finds in its path, or else `otherwise`."""
    found = re.search(known.subject, image) if known.subject else None
    return safe(found[1] if found else otherwise) or "unknown"


def modality(path: str, first: str = "") -> str:
    """The modality's token by the words in a path; `first` is what the file itself says."""
    parts = re.split(r"[^a-z0-9]+", path.lower())
    tokens = [_TOKENS[part] for part in reversed(parts) if part in _TOKENS]  # The innermost first.
    if first and first != metadata.UNKNOWN:
        finer = [token for token in tokens if token.startswith(f"{first}_")]
        return (sorted(finer, key=lambda t: t.endswith("_00")) or [_TOKENS.get(first, first)])[0]
    return (sorted(tokens, key=lambda t: t.endswith("_00")) or [UNKNOWN])[0]


def is_modality(word: str) -> bool:
    """Whether a word of a name is that of a modality or sequence."""
    return word.lower() in _TOKENS


def dataset_folder(path: str) -> str:
    """The folder at the top that a file is in, unless that says only `images` or `labels`."""
    parts = PurePosixPath(path).parts
    return "." if len(parts) == 1 or words.is_role(parts[0]) else parts[0]


def title(root: Path, folder: str) -> str:
    """A dataset's name where none is given: that of the folder at the top."""
    name = PurePosixPath(folder).parts[0] if PurePosixPath(folder).parts else ""
    return name or root.resolve().name


def safe(name: str) -> str:
    """A name that is good for a file, and does not look like a separator of ours."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", str(name)).strip("_.")
