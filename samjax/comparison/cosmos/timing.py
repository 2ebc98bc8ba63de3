"""Seconds that a model takes to embed an image, to answer a prompt, and to segment everything."""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from samjax.data import files
from samjax.data.boxes import tight_box
from samjax.data.index import Sample
from samjax.inference import Predictor
from samjax.inference.automatic import AutomaticMaskGenerator
from samjax.models.directory import Model

_IMAGES = 5
_TURNS = 5  # Of each call; the median over images of their medians counts.


def measure(model: Model, root: str, samples: Sequence[Sample]) -> dict[str, float | None]:
    """Measures a model on a few images, one at a time, as a user waits for it.

    The first call of each kind, which compiles, is not counted. Reading and resizing an image
    belong to embedding it.

    Args:
        model: The model.
        root: The data folder.
        samples: Its images, of which a few with a mask are taken, evenly spread.

    Returns:
        Seconds to `embed` an image, to answer a `prompt` by a box on it, and to segment
        `everything` in it by SAM's settings, the embedding included; None for a model that cannot.
    """
    predictor = Predictor(model)
    try:
        generator = AutomaticMaskGenerator(predictor)
    except ValueError:  # It takes no points.
        generator = None
    chosen = [samples[i * len(samples) // _IMAGES] for i in range(min(_IMAGES, len(samples)))]
    embed, prompt, everything = [], [], []
    for sample in chosen:
        image, order = files.read_image(Path(root) / sample.image)
        mask = files.read_mask(Path(root) / sample.masks[0])
        box = tight_box(mask) if mask.any() else np.array([0, 0, *mask.shape[::-1]], np.float32)
        picture = image if order == "rgb" or image.ndim == 2 else image[..., ::-1].copy()

        def set_image(picture: np.ndarray = picture) -> None:
            predictor.set_image(picture)
            predictor.features.block_until_ready()

        embed.append(_median(set_image))
        prompt.append(_median(lambda box=box: predictor.predict(box=box)))
        if generator is not None:
            everything.append(_median(lambda picture=picture: generator.generate(picture)))
    return {
        "embed": statistics.median(embed),
        "prompt": statistics.median(prompt),
        "everything": statistics.median(everything) if everything else None,
    }


def _median(call: Callable[[], object]) -> float:
    call()
    seconds = []
    for _ in range(_TURNS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
