"""Drawing of a few images, spread over the subjects, as somebody would label them."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from samjax.data.files import DataError
from samjax.data.index import Sample


def draw_images(samples: Sequence[Sample], count: int, seed: int) -> list[Sample]:
    """Draws images by rounds over the subjects: one of each in random order, then a second one.

    Args:
        samples: The images.
        count: Number of images to draw; 0 for all.
        seed: The same seed and samples give the same images.

    Returns:
        The images, in the order given.

    Raises:
        DataError: There are fewer.
    """
    if not count:
        return list(samples)
    if count > len(samples):
        raise DataError(f"data.images: expected at most {len(samples)} images, found {count}")
    seen: Counter[str] = Counter()
    rounds: list[tuple[int, int]] = []
    for i in np.random.default_rng(seed).permutation(len(samples)).tolist():
        rounds.append((seen[samples[i].subject], i))
        seen[samples[i].subject] += 1
    chosen = sorted(i for _, i in sorted(rounds, key=lambda one: one[0])[:count])
    return [samples[i] for i in chosen]
