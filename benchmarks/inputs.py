"""Inputs of all competitors: the same images, objects and clicks, as NumPy arrays."""

import numpy as np

SIZE = 256  # Side of the network's input, pixels.
BATCH = 4  # Images in a batch of the encoder.
TRAIN_IMAGES = 2  # Images in a training batch.
OBJECTS = 5  # Masks of each image in a training batch.
ORIGINAL = 512  # Side of the annotated image, pixels.
CLICKS = 10  # Prompts for the annotated image.


def images() -> np.ndarray:
    """Returns normalised images, (BATCH, SIZE, SIZE, 3) float32."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(BATCH, SIZE, SIZE, 3)).astype(np.float32)


def objects(images: int = TRAIN_IMAGES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns discs with their boxes and centres.

    Args:
        images: Number of images; each has OBJECTS discs.

    Returns:
        Masks (images, OBJECTS, SIZE, SIZE) bool, boxes (images, OBJECTS, 4) and central points
        (images, OBJECTS, 2) float32, pixels.
    """
    rng = np.random.default_rng(1)
    centre = rng.uniform(0.25 * SIZE, 0.75 * SIZE, (images, OBJECTS, 2)).round()
    radius = rng.uniform(0.03 * SIZE, 0.2 * SIZE, (images, OBJECTS, 1))
    row, column = np.mgrid[:SIZE, :SIZE]
    x, y = np.moveaxis(centre, -1, 0)[..., None, None]
    masks = (column - x) ** 2 + (row - y) ** 2 <= radius[..., None] ** 2
    boxes = np.concatenate([centre - radius, centre + radius], axis=-1)
    return masks, boxes.astype(np.float32), centre.astype(np.float32)


def photo() -> np.ndarray:
    """Returns the image to annotate, (ORIGINAL, ORIGINAL, 3) uint8 in BGR."""
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (ORIGINAL, ORIGINAL, 3), np.uint8)


def clicks() -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns CLICKS prompts of one to three points: photo coordinates (n, 2), labels (n,)."""
    rng = np.random.default_rng(2)
    prompts = []
    for count in (1 + i % 3 for i in range(CLICKS)):
        labels = np.arange(count) % 2 == 0  # Object, background, object.
        prompts.append((rng.uniform(0, ORIGINAL, (count, 2)), labels.astype(np.int64)))
    return prompts
