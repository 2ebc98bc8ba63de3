import numpy as np
import pytest
from PIL import Image

pytest.importorskip("nibabel", reason="needs the extra `data`")


def blob(shape, centre, radius):
    """Returns a mask that is True in a ball, or in a disc."""
    grid = np.indices(shape).transpose(*range(1, len(shape) + 1), 0)
    return ((grid - np.array(centre)) ** 2).sum(-1) <= radius**2


@pytest.fixture
def volume():
    """Returns a volume with two classes, (20, 24, 28), without symmetry."""
    rng = np.random.default_rng(0)
    labels = np.zeros((20, 24, 28), np.uint8)
    labels[blob(labels.shape, (7, 8, 9), 5)] = 1
    labels[blob(labels.shape, (13, 16, 20), 4)] = 2
    image = (rng.normal(0, 20, labels.shape) + 300.0 * labels - 100).astype(np.int16)
    return image, labels


@pytest.fixture
def write_pictures(tmp_path):
    """Writes pictures below a source folder, by path."""

    def write(pictures, folder="source"):
        root = tmp_path / folder
        for path, pixels in pictures.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / path)
        return root

    return write


@pytest.fixture
def scans(write_pictures):
    """Writes a source of eight subjects, each with a picture of 60 x 50 and one or two objects."""
    rng = np.random.default_rng(1)
    pictures = {}
    for i in range(8):
        label = np.zeros((60, 50), np.uint8)
        label[blob(label.shape, (20, 15 + i), 9)] = 255
        label[blob(label.shape, (45, 30), 4 + i % 2)] = 255
        image = rng.integers(0, 80, (60, 50, 3)).astype(np.uint8) + label[..., None] // 2
        pictures[f"images/case{i}_0001.png"] = image
        pictures[f"masks/case{i}_0001.png"] = label
    return write_pictures(pictures)
