"""Fixtures of the published code, read into our layout (NHWC, images x objects)."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from samjax import types
from samjax.conversion import convert
from samjax.models.directory import Model

ADAPTED = "tiny_sam_med2d_256.pth"
PLAIN = "tiny_sam_1024.pth"


def load(fixtures: Path, name: str, image_size: int | None = None) -> Model:
    """Converts one of the two checkpoints."""
    heads = json.loads((fixtures / "config.json").read_text())["config"]["dec_heads"]
    options = convert.ConversionOptions(image_size=image_size, decoder_heads=heads)
    return convert.from_torch(fixtures / name, options)[0]


def channels_last(array: np.ndarray) -> jax.Array:
    return jnp.asarray(np.moveaxis(array, 1, -1))


@dataclasses.dataclass(frozen=True)
class Forward:
    """Inputs of `forward.npz`: `b` images with `k` objects each."""

    arrays: dict[str, np.ndarray]

    @property
    def images(self) -> jax.Array:
        return channels_last(self.arrays["image"])

    @property
    def truth(self) -> jax.Array:
        return self.by_object(self.arrays["label"][:, 0]) != 0

    @property
    def lead(self) -> tuple[int, int]:
        images = len(self.arrays["image"])
        return images, len(self.arrays["label"]) // images

    def by_object(self, array: np.ndarray) -> jax.Array:
        """Reshapes (b k, ...) to (b, k, ...)."""
        return jnp.asarray(array.reshape(*self.lead, *array.shape[1:]))

    def prompts(self, mask_size: int, max_points: int, points=None, boxes=None, mask=None):
        """Pads a combination of prompts to static shape."""
        padded = types.no_prompts(*self.lead, max_points, mask_size)
        present = jnp.ones(self.lead, bool)
        if points is not None:
            coords, labels = (self.by_object(array) for array in points)
            n = labels.shape[-1]
            padded = padded.replace(
                points=padded.points.at[:, :, :n].set(coords),
                labels=padded.labels.at[:, :, :n].set(labels),
            )
        if boxes is not None:
            padded = padded.replace(boxes=self.by_object(boxes[:, 0]), has_box=present)
        if mask is not None:
            padded = padded.replace(mask=mask, has_mask=present)
        return padded


def forward(fixtures: Path) -> Forward:
    with np.load(fixtures / "forward.npz") as file:
        return Forward(dict(file))
