import dataclasses

import cv2
import numpy as np
import pytest
from small import TINY, random_params

from samjax.data.index import Sample
from samjax.data.inputs import Preprocessing
from samjax.models.directory import Model
from samjax.models.peft import PeftConfig

# Below the input size, so padded; above it; wide; tall; beyond the smallest canvas.
SIZES = ((40, 50), (90, 70), (64, 200), (300, 30), (300, 280), (63, 63))


@pytest.fixture(scope="session")
def tiny() -> Model:
    config = dataclasses.replace(TINY, peft=PeftConfig(init="kaiming"))
    return Model(config, Preprocessing(), random_params(config))


def blob(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A filled ellipse somewhere in the image, with a hole."""
    mask = np.zeros((height, width), np.uint8)
    centre = (int(rng.integers(width // 4, width)), int(rng.integers(height // 4, height)))
    axes = (width // 5 + 2, height // 6 + 2)
    cv2.ellipse(mask, centre, axes, float(rng.integers(180)), 0, 360, 1, -1)
    cv2.circle(mask, centre, max(min(axes) // 3, 1), 0, -1)
    return mask


@pytest.fixture(scope="session")
def tiny_128(tiny) -> Model:
    """A network of another input size."""
    config = dataclasses.replace(tiny.config, image_size=128)
    return dataclasses.replace(tiny, config=config, params=random_params(config))


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A data folder of six images of mixed sizes and modalities with one to five masks each."""
    root = tmp_path_factory.mktemp("data")
    (root / "images").mkdir()
    (root / "masks").mkdir()
    rng = np.random.default_rng(0)
    samples = []
    for number, (height, width) in enumerate(SIZES):
        stem = (
            f"{('ct', 'mr_t1')[number % 2]}_00--set{number % 3}--case{number // 2}--z_{number:04}"
        )
        masks = [blob(rng, height, width) for _ in range(number % 5 + 1)]
        image = rng.normal(100, 15, (height, width, 3)) + 60 * sum(masks)[..., None]
        image = image.clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(root / f"images/{stem}.png"), image if number % 2 else image[..., 0])
        names = []
        for component, mask in enumerate(masks):
            names.append(f"masks/{stem}--0007_{component:03}.png")
            cv2.imwrite(str(root / names[-1]), mask * 255)
        samples.append(Sample(f"images/{stem}.png", tuple(names), f"set{number % 3}"))
    return root, samples
