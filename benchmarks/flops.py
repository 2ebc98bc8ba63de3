"""What samjax's work comes to on paper: floating point operations from a `SamConfig`.

Matrix products alone are counted, two operations for each multiply-add. Norms, softmax, GELU,
losses by pixel and simulated clicks are left out: they take time for the memory that they pass
over, and few operations. It is counted what has to be done, not what `remat` does again.
`tests/test_benchmarks_flops.py` holds the counts to the products of the traced programs.
"""

import dataclasses
from collections.abc import Callable, Collection

from samjax import losses
from samjax.models import SamConfig
from samjax.training.step import Recipe


@dataclasses.dataclass(frozen=True)
class Work:
    """Operations of matrix products and of their gradients.

    Attributes:
        forward: The products themselves.
        inputs: Their gradients by activations.
        weights: Their gradients by parameters.
    """

    forward: int = 0
    inputs: int = 0
    weights: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.forward + other.forward, self.inputs + other.inputs, self.weights + other.weights
        )

    def __rmul__(self, times: int) -> "Work":
        return Work(times * self.forward, times * self.inputs, times * self.weights)

    def on_constants(self) -> "Work":
        """The same products of inputs that need no gradient."""
        return dataclasses.replace(self, inputs=0)


def encoder(config: SamConfig, images: int = 1) -> int:
    """Operations that embed images; window padding is not projected and does not ask."""
    return sum(_encoder_parts(config, images, _attention), Work()).forward


def padded_encoder(config: SamConfig, images: int = 1) -> int:
    """The same where padding is projected and attends like any token, as in a literal port."""
    return sum(_encoder_parts(config, images, _padded_attention), Work()).forward


def encoder_backward(config: SamConfig, images: int, learns: Collection[str]) -> int:
    """Operations of the image encoder's gradients.

    Args:
        config: Architecture.
        images: Number of images.
        learns: Groups of parameters that learn, see `samjax.training.groups`. With `adapter` and
            without `encoder`, gradients pass through all blocks but the first, of which they only
            reach the adapter.
    """
    patches, *blocks, adapters, neck = _encoder_parts(config, images, _attention)
    if "encoder" in learns:
        total = sum((*blocks, adapters, neck), patches.on_constants())
        backward = total.inputs + total.weights
    elif "adapter" in learns:
        squeeze = _squeeze(config, images)
        backward = sum((*blocks[1:], adapters, neck), Work()).inputs - squeeze.inputs
        backward += adapters.weights
    else:
        return 0
    return backward


def prepare(config: SamConfig, images: int = 1) -> int:
    """Operations of the decoder that depend on embedded images alone, done once for all prompts."""
    parts = (_positions(config, config.grid_size**2), *_prepare(config, images))
    return sum(parts, Work()).forward


def decoder(config: SamConfig, objects: int, tokens: int, multimask: bool = True) -> int:
    """Operations of prompt encoder and mask decoder on images that are prepared.

    Args:
        config: Architecture.
        objects: Objects of all images together.
        tokens: Prompt tokens of each: its room for points, and three for padding and box.
        multimask: Three masks for each object, or one.
    """
    parts = (
        _positions(config, objects * tokens),
        _mask_prompts(config, objects),
        *_dense(config, objects),
        _mask_decoder(config, objects, tokens, multimask),
    )
    return sum(parts, Work()).forward


def decoder_backward(
    config: SamConfig,
    images: int,
    objects: int,
    tokens: int,
    learns: Collection[str],
    multimask: bool = True,
) -> int:
    """Operations of the gradients of what `prepare` and `decoder` count.

    Args:
        config: Architecture.
        images: Number of images.
        objects: Objects of all images together.
        tokens: Prompt tokens of each.
        learns: Groups of parameters that learn, `decoder` among them.
        multimask: Three masks for each object, or one.
    """
    embedded, encoded, maps = _prepare(config, images)
    dense, projected = _dense(config, objects)
    backward = sum((embedded, encoded, maps, projected), Work()).weights
    total = _mask_decoder(config, objects, tokens, multimask)
    backward += total.inputs + total.weights
    if {"adapter", "encoder"} & set(learns):
        backward += embedded.inputs
    if {"masks", "no_mask"} & set(learns):
        backward += maps.inputs + dense.weights
    if "masks" in learns:
        convolutions = _mask_prompts(config, objects)
        backward += convolutions.inputs + convolutions.weights + dense.inputs + projected.inputs
    return backward


def upsampling(
    config: SamConfig, objects: int, loss: losses.LossConfig, multimask: bool = True
) -> int:
    """Operations that bring masks to input size for the loss, and the gradient back.

    Args:
        config: Architecture.
        objects: Objects of all images together.
        loss: Says whether all candidates are upsampled, or just the selected one.
        multimask: Three candidates for each object, or one.
    """
    compared = loss.selection != "predicted_iou" or loss.iou_supervision == "all"
    candidates = (config.num_multimask if multimask else 1) * compared
    low, full = config.mask_size, config.image_size
    one = 2 * full * low * (low + full)
    return objects * one * (candidates + 2)


def train_step(recipe: Recipe, images: int, objects: int) -> int:
    """Operations of one training batch, `samjax.training.step.train_step`.

    Args:
        recipe: Architecture, iterations, room for points, and what learns.
        images: Images of the batch.
        objects: Masks of each image.
    """
    config, multimask = recipe.model, recipe.trainable.multimask
    count, tokens = images * objects, recipe.session.room + 3

    def update(learns: Collection[str]) -> int:
        return (
            prepare(config, images)
            + decoder(config, count, tokens, multimask)
            + decoder_backward(config, images, count, tokens, learns, multimask)
            + upsampling(config, count, recipe.loss, multimask)
        )

    first, later = recipe.first_groups, recipe.later_groups
    return (
        encoder(config, images)
        + encoder_backward(config, images, first)
        + update(first)
        + (recipe.session.iterations - 1) * update(later)
    )


def _linear(rows: int, width: int, features: int) -> Work:
    """A (rows, width) matrix of activations times a parameter."""
    each = 2 * rows * width * features
    return Work(each, each, each)


def _between(count: int, rows: int, width: int, columns: int) -> Work:
    """`count` products of two matrices of activations, (rows, width) and (width, columns)."""
    each = 2 * count * rows * width * columns
    return Work(each, 2 * each, 0)


def _encoder_parts(
    config: SamConfig, images: int, attention: Callable[[SamConfig, int, int], Work]
) -> list[Work]:
    """Patches, every block without its adapter, all adapters, neck."""
    cells, width = images * config.grid_size**2, config.embed_dim
    patches = _linear(cells, 3 * config.patch_size**2, width)
    hidden = int(width * config.mlp_ratio)
    mlp = _linear(cells, width, hidden) + _linear(cells, hidden, width)
    blocks = [attention(config, index, images) + mlp for index in range(config.depth)]
    adapters = (config.depth * config.peft.enabled) * _adapter(config, images)
    features = config.prompt_dim
    neck = _linear(cells, width, features) + _linear(cells, 9 * features, features)
    return [patches, *blocks, adapters, neck]


def _attention(config: SamConfig, block: int, images: int) -> Work:
    """Windows of real tokens; what pads the others is one key."""
    size, grid, width = config.attention_size(block), config.grid_size, config.embed_dim
    total = _linear(images * grid**2, width, 3 * width) + _linear(images * grid**2, width, width)
    if grid % size:
        total += _linear(1, width, 3 * width).on_constants()
    whole, rest = divmod(grid, size)
    sides = [(count, side) for count, side in ((whole, size), (1, rest)) if count and side]
    for down, rows in sides:
        for across, columns in sides:
            windows = images * config.num_heads * down * across
            total += _window(windows, rows, columns, size, width // config.num_heads)
    return total


def _window(windows: int, rows: int, columns: int, size: int, depth: int) -> Work:
    """Windows of rows x columns tokens in one head of `depth` features each."""
    tokens, padded = rows * columns, rows < size or columns < size
    # Each query against the offsets of both tables; then its row, column and padding are
    # further features of the scores.
    relative = 2 * _linear(windows * tokens, depth, 2 * size - 1)
    features = depth + rows + columns + padded
    scores = _between(windows, tokens, features, tokens + padded)
    return relative + scores + _between(windows, tokens, tokens + padded, depth)


def _padded_attention(config: SamConfig, block: int, images: int) -> Work:
    """Padding makes all windows whole; relative positions are added to the scores."""
    size, width = config.attention_size(block), config.embed_dim
    windows = images * (-(-config.grid_size // size)) ** 2
    tokens, depth = size**2, width // config.num_heads
    rows, heads = windows * tokens, windows * config.num_heads
    scores = _between(heads, tokens, depth, tokens) + _between(heads, tokens, tokens, depth)
    # A table's row for each pair of a query's and a key's row, and likewise of columns.
    relative = 2 * _linear(heads * tokens, depth, size)
    return _linear(rows, width, 3 * width) + scores + relative + _linear(rows, width, width)


def _adapter(config: SamConfig, images: int) -> Work:
    """Channel attention, strided convolution and, as four dense ones, the transposed one."""
    width = config.embed_dim
    excite = _linear(images, int(width * config.peft.ratio), width)
    cells = images * (-(-config.grid_size // 2)) ** 2
    spatial = _linear(cells, 9 * width, width) + 4 * _linear(cells, 4 * width, width)
    return _squeeze(config, images) + excite + spatial


def _squeeze(config: SamConfig, images: int) -> Work:
    return _linear(images, config.embed_dim, int(config.embed_dim * config.peft.ratio))


def _positions(config: SamConfig, places: int) -> Work:
    """Fourier features of coordinates; nothing in them learns."""
    return Work(_linear(places, 2, config.prompt_dim // 2).forward)


def _prepare(config: SamConfig, images: int) -> tuple[Work, Work, Work]:
    """What the image is projected to: first layer of images, all layers of the encoding, maps."""
    cells, width = config.grid_size**2, config.prompt_dim
    inside, depth = width // 2, config.decoder_depth
    embedded = 3 * _linear(images * cells, width, inside)
    # Two of a layer's three projections see the encoding, of the last two one; to the others
    # only a bias belongs, taken from a row of zeros.
    encoded = (2 * depth + 1) * _linear(cells, width, inside)
    encoded += (depth + 1) * _linear(1, width, inside)
    return embedded, encoded.on_constants(), 3 * _linear(_maps(config), width, inside)


def _mask_prompts(config: SamConfig, objects: int) -> Work:
    """Convolutions of the mask prompts, from four times the grid to the grid."""
    cells, hidden = objects * config.grid_size**2, config.mask_in_chans
    return _linear(4 * cells, 4, hidden // 4).on_constants() + _linear(cells, hidden, hidden)


def _dense(config: SamConfig, objects: int) -> tuple[Work, Work]:
    """The dense prompt as a sum of maps, and its first projections."""
    cells, width = objects * config.grid_size**2, config.prompt_dim
    maps = _maps(config)
    return _linear(cells, maps, width), 3 * _linear(cells, maps, width // 2)


def _maps(config: SamConfig) -> int:
    """Channels of a mask prompt, their bias, and what stands for no mask."""
    return config.mask_in_chans + 2


def _mask_decoder(config: SamConfig, objects: int, tokens: int, multimask: bool) -> Work:
    """Two-way transformer, upscaling, hypernetworks and IoU head."""
    width, hidden = config.prompt_dim, config.iou_head_hidden_dim
    cells, all_masks = config.grid_size**2, config.num_multimask + 1
    tokens += 1 + all_masks
    inside, rows = width // 2, objects * tokens
    mlp = _linear(rows, width, config.decoder_mlp_dim)
    mlp += _linear(rows, config.decoder_mlp_dim, width)
    to_image = _linear(rows, width, inside) + _attention_of(config, objects, tokens, cells, inside)
    layer = (
        3 * _linear(rows, width, width)
        + _attention_of(config, objects, tokens, tokens, width)
        + to_image
        + mlp
        + 2 * _linear(rows, width, inside)
        + _attention_of(config, objects, cells, tokens, inside)
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
        + _between(objects, masks, width // 8, 16 * cells)
        + iou_head
    )


def _attention_of(config: SamConfig, objects: int, queries: int, keys: int, inside: int) -> Work:
    """Attention of `queries` tokens to `keys` tokens at an inner width, all of them projected."""
    return (
        _between(objects, queries, inside, keys)
        + _between(objects, queries, keys, inside)
        + _linear(objects * queries, inside, config.prompt_dim)
    )
