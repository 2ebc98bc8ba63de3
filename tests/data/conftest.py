import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import settings

from samjax.data.phantoms import PhantomConfig, write_phantoms

settings.register_profile("no_deadline", deadline=None)  # A busy machine is no failure.
settings.load_profile("no_deadline")


@pytest.fixture(scope="session")
def phantom_root(tmp_path_factory):
    """Twelve phantoms to train on and four to test on, 64 pixels wide. Not to be written to."""
    root = tmp_path_factory.mktemp("data") / "phantoms"
    write_phantoms(root, PhantomConfig(count_train=12, count_test=4, size=64, seed=3))
    return root


@pytest.fixture
def write_folder(tmp_path):
    """Writes {image name: {mask name: pixels}} with 40 x 30 images and an index for training."""

    def write(content: dict[str, dict[str, np.ndarray]], split: str = "train") -> Path:
        root = tmp_path / "folder"
        for folder in ("images", "masks"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        index = {}
        for image, masks in content.items():
            pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
            cv2.imwrite(str(root / "images" / image), pixels)
            for mask, values in masks.items():
                cv2.imwrite(str(root / "masks" / mask), values)
            index[f"images/{image}"] = [f"masks/{mask}" for mask in masks]
        (root / f"image2label_{split}.json").write_text(json.dumps(index))
        return root

    return write


@pytest.fixture
def blob():
    """A mask, (30, 40) uint8, 255 in rows 5 to 14 and columns 10 to 29."""
    mask = np.zeros((30, 40), np.uint8)
    mask[5:15, 10:30] = 255
    return mask
