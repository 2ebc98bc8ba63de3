"""Calculation of floating-point operations from a `SamConfig`.

Only matrix products are counted, with two operations for each multiply-add. Norms, softmax, GELU,
pixel losses and simulated clicks are left out: they need few operations, and their time goes into
memory access. Recomputation by `remat` is not counted.
`tests/test_benchmarks_flops.py` compares the counts with the products of the traced programs.
"""

import dataclasses
from collections.abc import Callable, Collection

from samjax import losses
from samjax.models import SamConfig
from samjax.tasks import InteractiveTask


@dataclasses.dataclass(frozen=True)
class Operations:
    """Operations of matrix products and of their gradients.

    Attributes:
        forward: Operations of the products themselves.
        inputs: Operations of their gradients with respect to activations.
        weights: Operations of their gradients with respect to parameters.
    """

    forward: int = 0
    inputs: int = 0
    weights: int = 0

    def __add__(self, other: "Operations") -> "Operations":
        return Operations(
            self.forward + other.forward, self.inputs + other.inputs, self.weights + other.weights
        )

    def __rmul__(self, times: int) -> "Operations":
        return Operations(times * self.forward, times * self.inputs, times * self.weights)

    def without_input_gradients(self) -> "Operations":
        """Returns the same products on inputs that need no gradient."""
        return dataclasses.replace(self, inputs=0)


def encoder(config: SamConfig, images: int = 1) -> int:
    """Counts the operations that embed images; window padding is neither projected nor a query."""
    return sum(_encoder_parts(config, images, _attention), Operations()).forward


def padded_encoder(config: SamConfig, images: int = 1) -> int:
    """Counts the same for a literal port: padding is projected and attends like any token."""
    return sum(_encoder_parts(config, images, _padded_attention), Operations()).forward


def encoder_backward(config: SamConfig, images: int, trainable: Collection[str]) -> int:
    """Counts the operations of the image encoder's gradients.

    Args:
        config: Architecture.
        images: Number of images.
        trainable: Parameter groups. With `adapter` and without `encoder`, gradients pass through
            all blocks but the first, where they only reach the adapter.
    """
    patches, *blocks, adapters, neck = _encoder_parts(config, images, _attention)
    if "encoder" in trainable:
        total = sum((*blocks, adapters, neck), patches.without_input_gradients())
        return total.inputs + total.weights
    if "adapter" in trainable:
        total = sum((*blocks[1:], adapters, neck), Operations())
        return total.inputs - _squeeze(config, images).inputs + adapters.weights
    return 0


def prepare(config: SamConfig, images: int = 1) -> int:
    """Counts the operations of the decoder that depend on the image alone, once for all prompts."""
    parts = (_position_encoding(config, config.grid_size**2), *_prepare(config, images))
    return sum(parts, Operations()).forward


def decoder(config: SamConfig, objects: int, tokens: int, multimask: bool = True) -> int:
    """Counts the operations of prompt encoder and mask decoder on prepared images.

    Args:
        config: Architecture.
        objects: Number of objects in all images together.
        tokens: Prompt tokens of each object: its slots for points, and three for padding and box.
        multimask: Whether each object gets three masks, or one.
    """
    parts = (
        _position_encoding(config, objects * tokens),
        _mask_prompts(config, objects),
        *_dense(config, objects),
        _mask_decoder(config, objects, tokens, multimask),
    )
    return sum(parts, Operations()).forward


def decoder_backward(
    config: SamConfig,
    images: int,
    objects: int,
    tokens: int,
    trainable: Collection[str],
    multimask: bool = True,
) -> int:
    """Counts the operations of the gradients of `prepare` and `decoder`.

    Args:
        config: Architecture.
        images: Number of images.
        objects: Number of objects in all images together.
        tokens: Prompt tokens of each object.
        trainable: Trained groups of parameters, including `decoder`.
        multimask: Whether each object gets three masks, or one.
    """
    embedded, encoded, maps = _prepare(config, images)
    dense, projected = _dense(config, objects)
    backward = sum((embedded, encoded, maps, projected), Operations()).weights
    total = _mask_decoder(config, objects, tokens, multimask)
    backward += total.inputs + total.weights
    if {"adapter", "encoder"} & set(trainable):
        backward += embedded.inputs
    if {"masks", "no_mask"} & set(trainable):
        backward += maps.inputs + dense.weights
    if "masks" in trainable:
        convolutions = _mask_prompts(config, objects)
        backward += convolutions.inputs + convolutions.weights + dense.inputs + projected.inputs
    return backward


def upsampling(
    config: SamConfig, objects: int, loss: losses.LossConfig, multimask: bool = True
) -> int:
    """Counts the operations that upsample masks for the loss, and those of the gradient.

    Args:
        config: Architecture.
        objects: Number of objects in all images together.
        loss: The loss; it decides whether all candidates are upsampled, or just the selected one.
        multimask: Whether each object has three candidates, or one.
    """
    compared = loss.selection != "predicted_iou" or loss.iou_supervision == "all"
    candidates = (config.num_multimask if multimask else 1) * compared
    low, full = config.mask_size, config.image_size
    one = 2 * full * low * (low + full)
    return objects * one * (candidates + 2)


def train_step(task: InteractiveTask, images: int, objects: int) -> int:
    """Counts the operations of one training batch, `samjax.training.step.train_step`.

    Args:
        task: Architecture, iterations, slots for points, and trained groups.
        images: Number of images in the batch.
        objects: Number of masks of each image.
    """
    config, multimask = task.model, task.trainable.multimask
    count, tokens = images * objects, task.prompting.max_points + 3

    def update(trainable: Collection[str]) -> int:
        return (
            prepare(config, images)
            + decoder(config, count, tokens, multimask)
            + decoder_backward(config, images, count, tokens, trainable, multimask)
            + upsampling(config, count, task.loss, multimask)
        )

    first, later = task.first_groups, task.later_groups
    return (
        encoder(config, images)
        + encoder_backward(config, images, first)
        + update(first)
        + (task.prompting.iterations - 1) * update(later)
    )


def _linear(rows: int, width: int, features: int) -> Operations:
    """Counts a (rows, width) matrix of activations times a parameter."""
    operations = 2 * rows * width * features
    return Operations(operations, operations, operations)


def _matmul(count: int, rows: int, width: int, columns: int) -> Operations:
    """Counts `count` products of activations, (rows, width) times (width, columns)."""
    operations = 2 * count * rows * width * columns
    return Operations(operations, 2 * operations, 0)


def _encoder_parts(
    config: SamConfig, images: int, attention: Callable[[SamConfig, int, int], Operations]
) -> list[Operations]:
    """Counts the patches, each block without its adapter, all adapters, and the neck."""
    cells, width = images * config.grid_size**2, config.embed_dim
    patches = _linear(cells, 3 * config.patch_size**2, width)
    hidden = int(width * config.mlp_ratio)
    mlp = _linear(cells, width, hidden) + _linear(cells, hidden, width)
    blocks = [attention(config, index, images) + mlp for index in range(config.depth)]
    adapters = (config.depth * config.peft.enabled) * _adapter(config, images)
    features = config.prompt_dim
    neck = _linear(cells, width, features) + _linear(cells, 9 * features, features)
    return [patches, *blocks, adapters, neck]


def _attention(config: SamConfig, block: int, images: int) -> Operations:
    """Counts windows of real tokens; in each padded window, all padding is one key."""
    size, grid, width = config.attention_size(block), config.grid_size, config.embed_dim
    total = _linear(images * grid**2, width, 3 * width) + _linear(images * grid**2, width, width)
    if grid % size:
        total += _linear(1, width, 3 * width).without_input_gradients()
    whole, rest = divmod(grid, size)
    sides = [(count, side) for count, side in ((whole, size), (1, rest)) if count and side]
    for down, rows in sides:
        for across, columns in sides:
            windows = images * config.num_heads * down * across
            total += _window(windows, rows, columns, size, width // config.num_heads)
    return total


def _window(windows: int, rows: int, columns: int, size: int, depth: int) -> Operations:
    """Counts windows of rows x columns tokens in one head with `depth` features."""
    tokens, padded = rows * columns, rows < size or columns < size
    # Each query is multiplied by the offsets of both tables. Then its row, column and padding
    # are further features of the scores.
    relative = 2 * _linear(windows * tokens, depth, 2 * size - 1)
    features = depth + rows + columns + padded
    scores = _matmul(windows, tokens, features, tokens + padded)
    return relative + scores + _matmul(windows, tokens, tokens + padded, depth)


def _padded_attention(config: SamConfig, block: int, images: int) -> Operations:
    """Counts windows padded to full size; relative positions are added to the scores."""
    size, width = config.attention_size(block), config.embed_dim
    windows = images * (-(-config.grid_size // size)) ** 2
    tokens, depth = size**2, width // config.num_heads
    rows, heads = windows * tokens, windows * config.num_heads
    scores = _matmul(heads, tokens, depth, tokens) + _matmul(heads, tokens, tokens, depth)
    # One row of a table for each pair of a query's row and a key's row; columns likewise.
    relative = 2 * _linear(heads * tokens, depth, size)
    return _linear(rows, width, 3 * width) + scores + relative + _linear(rows, width, width)


def _adapter(config: SamConfig, images: int) -> Operations:
    """Counts channel attention, the strided convolution, and the transposed one as four dense."""
    width = config.embed_dim
    excite = _linear(images, int(width * config.peft.ratio), width)
    cells = images * (-(-config.grid_size // 2)) ** 2
    spatial = _linear(cells, 9 * width, width) + 4 * _linear(cells, 4 * width, width)
    return _squeeze(config, images) + excite + spatial


def _squeeze(config: SamConfig, images: int) -> Operations:
    return _linear(images, config.embed_dim, int(config.embed_dim * config.peft.ratio))


def _position_encoding(config: SamConfig, places: int) -> Operations:
    """Counts the Fourier features of coordinates; they have no trained parameters."""
    return Operations(_linear(places, 2, config.prompt_dim // 2).forward)


def _prepare(config: SamConfig, images: int) -> tuple[Operations, Operations, Operations]:
    """Counts the projections of images (first layer), position encoding (all layers) and maps."""
    cells, width = config.grid_size**2, config.prompt_dim
    inside, depth = width // 2, config.decoder_depth
    embedded = 3 * _linear(images * cells, width, inside)
    # Two of the three projections of a layer take the encoding, and one of the last two. The
    # others have only a bias, which is computed from a row of zeros.
    encoded = (2 * depth + 1) * _linear(cells, width, inside)
    encoded += (depth + 1) * _linear(1, width, inside)
    return embedded, encoded.without_input_gradients(), 3 * _linear(_maps(config), width, inside)


def _mask_prompts(config: SamConfig, objects: int) -> Operations:
    """Counts the convolutions of mask prompts, from four times the grid to the grid."""
    cells, hidden = objects * config.grid_size**2, config.mask_in_chans
    return _linear(4 * cells, 4, hidden // 4).without_input_gradients() + _linear(
        cells, hidden, hidden
    )


def _dense(config: SamConfig, objects: int) -> tuple[Operations, Operations]:
    """Counts the dense prompt as a sum of maps, and its first projections."""
    cells, width = objects * config.grid_size**2, config.prompt_dim
    maps = _maps(config)
    return _linear(cells, maps, width), 3 * _linear(cells, maps, width // 2)


def _maps(config: SamConfig) -> int:
    """Returns the number of maps: channels of a mask prompt, their bias, and "no mask"."""
    return config.mask_in_chans + 2


def _mask_decoder(config: SamConfig, objects: int, tokens: int, multimask: bool) -> Operations:
    """Counts the two-way transformer, upscaling, hypernetworks and IoU head."""
    width, hidden = config.prompt_dim, config.iou_head_hidden_dim
    cells, all_masks = config.grid_size**2, config.num_multimask + 1
    tokens += 1 + all_masks
    inside, rows = width // 2, objects * tokens
    mlp = _linear(rows, width, config.decoder_mlp_dim)
    mlp += _linear(rows, config.decoder_mlp_dim, width)
    to_image = _linear(rows, width, inside) + _cross_attention(
        config, objects, tokens, cells, inside
    )
    layer = (
        3 * _linear(rows, width, width)
        + _cross_attention(config, objects, tokens, tokens, width)
        + to_image
        + mlp
        + 2 * _linear(rows, width, inside)
        + _cross_attention(config, objects, cells, tokens, inside)
    )
    # Keys, queries and values of later layers, keys and values of the final attention.
    projections = (3 * config.decoder_depth - 1) * _linear(objects * cells, width, inside)
    upscaling = _linear(objects * cells, width, width)
    upscaling += _linear(objects * 4 * cells, width // 4, width // 2)
    masks = config.num_multimask if multimask else 1
    hypernetwork = 2 * _linear(objects, width, width) + _linear(objects, width, width // 8)
    iou_head = (
        _linear(objects, width, hidden)
        + _linear(objects, hidden, hidden)
        + _linear(objects, hidden, all_masks)
    )
    return (
        config.decoder_depth * layer
        + to_image
        + projections
        + upscaling
        + masks * hypernetwork
        + _matmul(objects, masks, width // 8, 16 * cells)
        + iou_head
    )


def _cross_attention(
    config: SamConfig, objects: int, queries: int, keys: int, inside: int
) -> Operations:
    """Counts attention from `queries` to `keys` tokens at an inner width, and its output."""
    return (
        _matmul(objects, queries, inside, keys)
        + _matmul(objects, queries, keys, inside)
        + _linear(objects * queries, inside, config.prompt_dim)
    )
