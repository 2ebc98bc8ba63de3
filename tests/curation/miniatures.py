"""Writes small folders of images, labels and texts, with made-up content."""

import json

import numpy as np
from PIL import Image

from samjax import extra
from tests.curation import dicom_files

SIDE, DEPTH = 24, 5
TEXTS = (".csv", ".txt", ".cfg", ".md", ".json", ".pdf", ".xlsx")


def write(root, files):
    """Writes files by path: labels are given as their values, images as None, texts as text."""
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict) and not path.endswith("/"):
            target.write_text(json.dumps(content))
        elif path.endswith(TEXTS) or target.name.startswith("._"):
            target.write_text(content or "")
        elif path.endswith("/"):
            image = pixels(None, (SIDE, SIDE, DEPTH), path)
            uid = "1.2." + str(sum(ord(letter) * 31**i for i, letter in enumerate(path)) % 10**9)
            dicom_files.write_series(target, image, uid, **content)
        elif path.endswith((".nii", ".nii.gz")):
            nibabel = extra.require("nibabel", "data")
            shape = (SIDE, SIDE, DEPTH) + ((2,) if content == "series" else ())
            values = pixels(None if content == "series" else content, shape, path)
            nibabel.save(nibabel.Nifti1Image(values, np.diag([1, 1, 2, 1])), target)
        elif path.endswith(".mhd"):
            sitk = extra.require("SimpleITK", "data")
            values = pixels(content, (DEPTH, SIDE, SIDE), path)
            sitk.WriteImage(sitk.GetImageFromArray(values), str(target))
        else:
            Image.fromarray(pixels(content, (SIDE, SIDE), path).astype(np.uint8)).save(target)
    return root


def pixels(values, shape, path):
    """Returns an image, or blocks of 8 x 8 with these values on the first two axes."""
    if values is None:
        rng = np.random.default_rng(sum(path.encode()))
        return rng.integers(0, 200, shape).astype(np.int16)
    label = np.zeros(shape, np.uint8)
    rows, columns = (-2, -1) if shape[0] == DEPTH else (0, 1)
    for number, value in enumerate(values):
        place = [slice(None)] * len(shape)
        place[rows] = slice(8 * (number // 3), 8 * (number // 3) + 8)
        place[columns] = slice(8 * (number % 3), 8 * (number % 3) + 8)
        label[tuple(place)] = value
    return label
