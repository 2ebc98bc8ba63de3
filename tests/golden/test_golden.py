"""Regression test against stored outputs, which were equal to those of the published code.

It finds changes on machines without torch and without the fixtures, too.
`python tests/golden/test_golden.py` rewrites the file; do so only after the parity tests pass.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import traverse_util

from samjax import losses, models, types

FILE = Path(__file__).with_name("tiny.npz")
CONFIG = models.tiny(
    image_size=48,
    depth=3,
    window_size=4,  # Does not divide the grid of 6: windows are padded.
    prompt_dim=16,
    decoder_mlp_dim=16,
    iou_head_hidden_dim=16,
)


def parameters():
    """Draws parameters with NumPy, whose stream is fixed, in alphabetical order of the paths."""
    rng = np.random.default_rng(20)
    shapes = jax.eval_shape(lambda key: models.init(CONFIG, key), jax.random.key(0))
    flat = traverse_util.flatten_dict(shapes, sep="/")
    drawn = {path: rng.normal(size=flat[path].shape) for path in sorted(flat)}
    values = {path: np.float32(0.3 * value) for path, value in drawn.items()}
    for path in (path for path in values if path.endswith("adapter/spatial_2/kernel")):
        # Drawn when these were (4, 4, in, out).
        kernel = values[path].reshape(4, 4, *values[path].shape[-2:])
        values[path] = rearrange(kernel, "(a p) (b q) i o -> p q a b i o", p=2, q=2)
    return traverse_util.unflatten_dict(values, sep="/")


def outputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(21)
    images = jnp.asarray(rng.normal(size=(2, 48, 48, 3)), jnp.float32)
    points = jnp.asarray(rng.uniform(0, 48, (2, 3, 2, 2)), jnp.float32)
    mask = jnp.asarray(rng.uniform(size=(2, 3, 24, 24)), jnp.float32)
    truth = jnp.asarray(rng.uniform(size=(2, 3, 48, 48)) > 0.7)
    # Object 0 has points of both kinds and a mask, object 1 a box, object 2 a box and a point.
    prompts = types.Prompts(
        points=points,
        labels=jnp.array([[[1, 0], [types.PADDING] * 2, [1, types.PADDING]]] * 2),
        boxes=jnp.asarray([[[0, 0, 0, 0], [4, 5, 30, 40], [8, 8, 20, 45]]] * 2, jnp.float32),
        has_box=jnp.array([[False, True, True]] * 2),
        mask=mask,
        has_mask=jnp.array([[True, False, False]] * 2),
    )

    def loss(params, adapters):
        embedding = models.encode_image(CONFIG, params, images, adapters)
        logits, iou = models.predict_masks(CONFIG, params, embedding, prompts)
        value, prediction = losses.segmentation_loss(logits, iou, truth, losses.LossConfig())
        return value, {
            "embedding": embedding,
            "logits": logits,
            "iou": iou,
            "low": prediction.low_res,
        }

    found = {}
    for adapters in (True, False):
        step = jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)
        (value, parts), gradients = step(parameters(), adapters)
        norms = jax.tree.map(jnp.linalg.norm, traverse_util.flatten_dict(gradients, sep="/"))
        parts |= {"loss": value, "gradient_norms": jnp.stack([norms[p] for p in sorted(norms)])}
        found |= {f"{name}_{adapters}": np.asarray(part) for name, part in parts.items()}
    return found


def test_outputs_equal_the_stored_ones():
    ours = outputs()
    with np.load(FILE) as golden:
        assert set(golden.files) == set(ours)
        for name in golden.files:
            scale = np.abs(golden[name]).max()
            np.testing.assert_allclose(ours[name], golden[name], atol=2e-5 * scale, err_msg=name)


if __name__ == "__main__":
    jax.config.update("jax_default_matmul_precision", "highest")
    np.savez_compressed(FILE, **outputs())
