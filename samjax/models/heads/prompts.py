"""Head that proposes prompts for the objects of every class, which SAM's own decoder answers.

From the image embedding it predicts, for every class, where the class is (foreground) and where the
centres of its objects are (Zhou et al., Objects as Points, arXiv 1904.07850). Each peak of the
centres is a point prompt, and the foreground's component around it has the box. SAM's decoder needs
no class and stays as it is (automatic prompts of Archit et al., arXiv 2603.17845, with classes).
"""

import dataclasses
from typing import no_type_check

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Bool, Float

from samjax import masks, types
from samjax.models import declare, layers
from samjax.models.config import SamConfig
from samjax.models.mask_decoder import Upscaling

_RARE = -4.0  # Logit of a centre at the start: few cells are centres.


@no_type_check
@struct.dataclass
class ClassMaps:
    """Maps of all `k` classes, at four times the embedding's side.

    Attributes:
        foreground: Logits of the classes, the background first, float32.
        centre: Logits of the centres of objects, float32.
    """

    foreground: Float[Array, "b k1 m m"]
    centre: Float[Array, "b k m m"]


@no_type_check
@struct.dataclass
class Proposals:
    """Proposed objects, `n` of each of `k` classes, those of a class in a row.

    Attributes:
        prompts: Their prompts, of `k * n` objects.
        scores: Scores of their centres, 0 to 1; 0 where the foreground has no such object.
    """

    prompts: types.Prompts
    scores: Float[Array, "b k n"]


class PromptHead(nn.Module):
    """Maps image embeddings to foreground and centres: two convolutions around SAM's upscaling."""

    group = "prompts"
    config: SamConfig

    def setup(self) -> None:
        dim, dtype = self.config.prompt_dim, jnp.dtype(self.config.dtype)
        self.context = layers.Conv3x3(dim, dtype, use_bias=True)
        self.norm = layers.LayerNorm(1e-6)
        self.upscaling = Upscaling(dim, dtype)
        self.maps = layers.PatchConv(2 * self.config.head.classes + 1, 1, dtype)
        # Constants that data decide, not gradients (`samjax.training.prompt_head`).
        grid = (self.config.grid_size, self.config.grid_size, dim)
        self.mean = declare.parameter(self, "mean", grid, group="constant")
        self.deviation = declare.parameter(self, "deviation", (dim,), mean=1.0, group="constant")
        self.presence = declare.parameter(self, "presence", (1,), mean=0.1, group="constant")
        self.foreground = declare.parameter(self, "foreground", (1,), mean=0.5, group="constant")
        self.points = declare.parameter(self, "points", (1,), group="constant")

    def __call__(self, embedding: Float[Array, "b g g c"]) -> ClassMaps:
        """Returns the maps of all classes."""
        # Embeddings of all images are nearly the same: their differences count.
        x = (embedding - self.mean) / self.deviation
        x = layers.gelu(self.norm(self.context(x)))
        x = self.maps(self.upscaling(x)).astype(jnp.float32)
        x = jnp.moveaxis(x, -1, 1)
        count = self.config.head.classes + 1
        return ClassMaps(x[:, :count], x[:, count:] + _RARE)

    def thresholds(self) -> tuple[Float[Array, ""], Float[Array, ""], Bool[Array, ""]]:
        """Returns the least score of an object, the least probability of its cells, and `points`.

        `points` is whether objects are prompted by their centres, too, beside their boxes.
        """
        return self.presence[0], self.foreground[0], self.points[0] > 0


def propose(
    maps: ClassMaps,
    foreground: Float[Array, ""],
    objects: int,
    size: int,
    points: Bool[Array, ""] | bool = True,
) -> Proposals:
    """Makes prompts of the objects that the maps show.

    Every cell belongs to the most probable class, if that is above the threshold, or to none. An
    object is a peak of the centres in its class; its box is that of its component.

    Args:
        maps: Maps of `k` classes.
        foreground: Threshold of the probability of a class.
        objects: Largest number `n` of objects of one class.
        size: Side of the network's input, pixels.
        points: Whether to prompt by the centre, too, beside the box.
    """
    probability = jax.nn.softmax(maps.foreground, axis=1)[:, 1:]
    b, k, m, _ = probability.shape
    likely = probability.max(1) > foreground
    labels = jnp.where(likely, probability.argmax(1) + 1, 0)
    own = labels[:, None] == jnp.arange(1, k + 1)[:, None, None]
    scores = jnp.where(own, jax.nn.sigmoid(maps.centre), 0)
    around = nn.max_pool(jnp.moveaxis(scores, 1, -1), (3, 3), padding="SAME")
    scores = jnp.where(scores == jnp.moveaxis(around, -1, 1), scores, 0)
    found, cells = jax.lax.top_k(scores.reshape(b, k, m * m), objects)
    numbers = masks.components(labels)
    number = jnp.take_along_axis(numbers.reshape(b, 1, m * m), cells, axis=2)
    inside = numbers[:, None, None] == number[..., None, None]  # (b, k, n, m, m)
    boxes = _boxes(inside, probability[:, :, None], foreground, size)
    scale = size / m
    centres = (jnp.stack([cells % m, cells // m], axis=-1) + 0.5) * scale - 0.5
    count = k * objects
    shown = jnp.where(points, types.FOREGROUND, types.PADDING)
    prompts = dataclasses.replace(
        types.no_prompts(b, count, 1, m),
        points=centres.reshape(b, -1, 1, 2),
        labels=jnp.broadcast_to(shown, (b, count, 1)),
        boxes=boxes.reshape(b, -1, 4),
        has_box=jnp.ones((b, count), bool),
    )
    return Proposals(prompts, jnp.where(number > 0, found, 0))


def class_logits(
    low_res: Float[Array, "b k n m m"], scores: Float[Array, "b k n"], presence: Float[Array, ""]
) -> Float[Array, "b k1 m m"]:
    """Joins the masks of all objects to logits of classes, with 0 for the background before them.

    Where masks of several objects overlap, the highest logit counts.

    Args:
        low_res: Logits of each object's mask.
        scores: Scores of the objects.
        presence: Score above which there is an object.
    """
    absent = -1e4  # Finite, as an infinite logit could not be resampled.
    present = (scores > jnp.maximum(presence, 0))[..., None, None]
    of_class = jnp.where(present, low_res, absent).max(2)
    return jnp.concatenate([jnp.zeros_like(of_class[:, :1]), of_class], axis=1)


def _boxes(
    inside: Bool[Array, "b k n m m"],
    probability: Float[Array, "b k 1 m m"],
    threshold: Float[Array, ""],
    size: int,
) -> Float[Array, "b k n 4"]:
    """Returns the boxes of components, to the pixel: where the probability falls to the threshold.

    Empty components get a box of the whole input.
    """
    b, k, n, m, _ = inside.shape
    near = nn.max_pool(inside.reshape(-1, m, m, 1).astype(jnp.float32), (3, 3), padding="SAME")
    values = probability * near.reshape(inside.shape)
    sides = []
    for axis in (-2, -1):  # The highest value of each column, then of each row.
        profile = jax.image.resize(values.max(axis), (b, k, n, size), "linear", antialias=False)
        above = profile > threshold
        sides += [above.argmax(-1), size - above[..., ::-1].argmax(-1)]
    x0, x1, y0, y1 = sides
    return jnp.stack([x0, y0, x1, y1], axis=-1).astype(jnp.float32)
