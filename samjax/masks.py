"""Turns the decoder's low-resolution logits into masks: selection, upsampling, original size.

Shared by training, evaluation and prediction, so that masks are the same everywhere.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Real, UInt8

THRESHOLD = 0.0  # A pixel is foreground where its logit is above this (probability one half).


def mask_prompt(logits: Float[Array, "*n m m"], kind: str) -> Float[Array, "*n m m"]:
    """Turns the low-resolution logits of the previous step into a mask prompt.

    Args:
        logits: Low-resolution logits.
        kind: `logits` (SAM) or `sigmoid` (SAM-Med2D), see `samjax.data.inputs.Preprocessing`.
    """
    return jax.nn.sigmoid(logits) if kind == "sigmoid" else logits


def select(values: Float[Array, "b k c *rest"], index: Int[Array, "b k"]) -> jax.Array:
    """Selects one of `c` candidates for every object: (b, k, c, ...) -> (b, k, ...)."""
    trailing = (1,) * (values.ndim - 2)
    picked = jnp.take_along_axis(values, index.reshape(*index.shape, *trailing), axis=2)
    return jnp.squeeze(picked, axis=2)


def select_best(
    logits: Float[Array, "b k c m m"], scores: Float[Array, "b k c"]
) -> tuple[Float[Array, "b k 1 m m"], Float[Array, "b k 1"]]:
    """Returns the candidate with the highest predicted IoU, and this IoU."""
    chosen = select(logits, scores.argmax(axis=-1))
    return chosen[:, :, None], scores.max(axis=-1, keepdims=True)


def upsample(logits: Float[Array, "*n m m"], size: int) -> Float[Array, "*n s s"]:
    """Upsamples logits bilinearly to the network's input size (no corner alignment)."""
    shape = (*logits.shape[:-2], size, size)
    highest = jax.lax.Precision.HIGHEST
    return jax.image.resize(logits, shape, "bilinear", antialias=False, precision=highest)


def restore_logits(
    logits: Float[Array, "n c m m"],
    placement: Int[Array, "n 6"],
    size: int,
    canvas: tuple[int, int],
) -> Float[Array, "n c h w"]:
    """Resamples logits to the original images, on a canvas of one static shape.

    Bilinear to the input size, then the placement's rectangle bilinear to the original size: a
    plain crop if the image was padded. One interpolation matrix per axis does both: images of all
    sizes share one compiled function, and logits at the input size, sixteen times as many, are
    never computed.

    Args:
        logits: Low-resolution logits of `c` masks for each of `n` images.
        placement: `samjax.data.inputs.Placement.as_array` of every image.
        size: Side of the network's input.
        canvas: Rows and columns of the result; at least every original height and width.

    Returns:
        Logits; the first height rows and width columns are the image, the rest is zero.
    """
    height, width, top, left, inner_height, inner_width = jnp.moveaxis(placement, 1, 0)
    product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    axes = ((height, top, inner_height), (width, left, inner_width))
    rows, columns = (
        jax.vmap(
            functools.partial(_interpolation, side=logits.shape[-1], size=size, canvas=extent)
        )(*axis)
        for axis, extent in zip(axes, canvas, strict=True)
    )
    return product("nwl,nchl->nchw", columns, product("nhm,ncml->nchl", rows, logits))


def class_map(
    logits: Float[Array, "k m m"],
    placement: Int[Array, " 6"],
    size: int,
    canvas: tuple[int, int],
) -> UInt8[Array, "h w"]:
    """Returns the class with the highest logit in every pixel of an original image.

    Logits are resampled as by `restore_logits`, one class at a time: those of many classes would
    not fit into memory. Of equal logits, the first class wins.

    Args:
        logits: Low-resolution logits of `k` classes, at most 256.
        placement: `samjax.data.inputs.Placement.as_array` of the image.
        size: Side of the network's input.
        canvas: Rows and columns of the result; at least the original height and width.
    """

    def compare(
        best: tuple[jax.Array, jax.Array], of_class: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        (highest, found), (low_res, number) = best, of_class
        restored = restore_logits(low_res[None, None], placement[None], size, canvas)[0, 0]
        above = restored > highest
        return (jnp.where(above, restored, highest), jnp.where(above, number, found)), None

    start = jnp.full(canvas, -jnp.inf), jnp.zeros(canvas, jnp.uint8)
    classes = jnp.arange(len(logits), dtype=jnp.uint8)
    (_, found), _ = jax.lax.scan(compare, start, (logits, classes))
    return found


def rectify(
    mask: Bool[Array, "h w"],
    uncertainty: Float[Array, "h w"],
    grey: Real[Array, "h w"],
    box: Float[Array, " 4"],
    add: tuple[float, float],
    keep: tuple[float, float],
    share: float = 0.2,
) -> Bool[Array, "h w"]:
    """Corrects a mask where it is uncertain, by the grey values (Yao et al., FNPC-SAM, 2023).

    A pixel is uncertain above `share` of the uncertainty's range. Outside the mask, an uncertain
    pixel whose grey value is within `add` is added; inside, one that is not within `keep` is
    removed. The bounds are relative to the mean grey value of the mask.

    Args:
        mask: Mask of the mean prediction.
        uncertainty: Uncertainty of every pixel, such as `vote_variance`.
        grey: Grey values of the image.
        box: Corners (x0, y0, x1, y1); nothing outside it stays.
        add: Lower and upper bound of grey values to add.
        keep: Lower and upper bound of grey values to keep.
        share: Share of the range.
    """
    low, high = uncertainty.min(), uncertainty.max()
    uncertain = uncertainty > low + share * (high - low)
    relative = grey / jnp.maximum(jnp.where(mask, grey, 0).sum() / jnp.maximum(mask.sum(), 1), 1e-9)
    added = ~mask & uncertain & (relative > add[0]) & (relative < add[1])
    removed = mask & uncertain & ((relative < keep[0]) | (relative > keep[1]))
    height, width = mask.shape
    return ((mask | added) & ~removed) & inside_box(box, (height, width))


def components(labels: Int[Array, "b m m"]) -> Int[Array, "b m m"]:
    """Numbers the 8-connected components of equal labels.

    Args:
        labels: Label of every cell; 0 is the background, which has no components.

    Returns:
        A number from 1 that all cells of a component share, and no others of the image; 0 in the
        background. It is 1 plus the index, row by row, of the component's last cell.
    """
    side = labels.shape[-1]
    neighbours = [(row, column) for row in range(3) for column in range(3)]

    def shifted(x: jax.Array) -> list[jax.Array]:
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1)))
        return [padded[:, row : row + side, column : column + side] for row, column in neighbours]

    same = [(other == labels) & (labels != 0) for other in shifted(labels)]

    def spread(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        numbers, _ = state
        reached = [jnp.where(s, n, 0) for s, n in zip(same, shifted(numbers), strict=True)]
        highest = functools.reduce(jnp.maximum, reached)
        # A cell's number names another cell: taking over its number, too, doubles the distance.
        rows = highest.reshape(len(labels), -1)
        further = jnp.take_along_axis(rows, jnp.maximum(rows - 1, 0), axis=1)
        further = jnp.where(rows > 0, further, 0).reshape(labels.shape)
        return further, (further != numbers).any()

    first = jnp.where(labels != 0, jnp.arange(1, side * side + 1).reshape(side, side), 0)
    found, _ = jax.lax.while_loop(lambda state: state[1], spread, (first, jnp.asarray(True)))
    return found


def inside_box(box: Float[Array, " 4"], shape: tuple[int, int]) -> Bool[Array, "h w"]:
    """Returns the pixels whose centres lie in a box (x0, y0, x1, y1), borders included."""
    y, x = jnp.mgrid[: shape[0], : shape[1]] + 0.5
    return (x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3])


def canvas_size(height: int, width: int) -> tuple[int, int]:
    """Returns the rows and columns of a canvas for an original image.

    There are few different sizes, since each compiles a program. Small canvases are square; larger
    ones have at most four times the image's area, or a shorter side of 256.
    """
    shorter, longer = sorted((height, width))
    step = 256 if longer <= 1024 else 1024
    long = -(-longer // step) * step
    short = long if longer <= 1024 else min(max(1 << (shorter - 1).bit_length(), 256), long)
    return (short, long) if height < width else (long, short)


def _interpolation(
    length: jax.Array, first: jax.Array, inner: jax.Array, *, side: int, size: int, canvas: int
) -> Float[Array, "canvas side"]:
    """Returns the matrix that resamples one axis of logits, bilinearly and twice.

    First `side` logits to `size` pixels of the input, then `inner` of these, from `first` on, to
    `length` pixels.
    """
    target = jnp.arange(canvas, dtype=jnp.float32)
    source = jnp.clip((target + 0.5) * (inner / length) - 0.5, 0.0, inner - 1.0)
    low = jnp.floor(source)
    fraction = (source - low)[:, None]

    def upsampled(at: jax.Array) -> jax.Array:
        """Returns the weights of the logits in pixel `at` of the input."""
        center = jnp.clip((first + at + 0.5) * (side / size) - 0.5, 0.0, side - 1.0)
        return jnp.maximum(1.0 - jnp.abs(center[:, None] - jnp.arange(side)), 0.0)

    high = jnp.minimum(low + 1.0, inner - 1.0)
    weights = (1.0 - fraction) * upsampled(low) + fraction * upsampled(high)
    return jnp.where(target[:, None] < length, weights, 0.0)
