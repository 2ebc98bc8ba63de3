"""Loss of the centres of objects (Zhou et al., Objects as Points, arXiv 1904.07850, equation 1)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Integer

from samjax import masks

_SPREAD = 1 / 6  # Deviation of a target's Gaussian over the root of the object's area.
_LEAST = 0.8  # Least such deviation, cells.
_EASY, _NEAR = 2, 4  # Exponents alpha and beta of the paper.


def centre_loss(
    logits: Float[Array, "b k m m"], labels: Integer[Array, "b m m"], objects: int
) -> Float[Array, ""]:
    """Returns the focal loss of centres, divided by the number of objects.

    Args:
        logits: Logits of centres of `k` classes.
        labels: True class of every cell; 0 is the background.
        objects: Largest number of objects of one class in an image: its largest components.
    """
    targets, is_centre = centre_targets(labels, logits.shape[1], objects)
    log_yes, log_no = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    probability = jax.nn.sigmoid(logits)
    yes = (1 - probability) ** _EASY * log_yes
    no = (1 - targets) ** _NEAR * probability**_EASY * log_no
    return -jnp.where(is_centre, yes, no).sum() / jnp.maximum(is_centre.sum(), 1)


def centre_targets(
    labels: Integer[Array, "b m m"], classes: int, objects: int
) -> tuple[Float[Array, "b k m m"], Bool[Array, "b k m m"]]:
    """Returns targets that fall off around the centres of objects, and the centres.

    A centre is the cell of a component that is nearest to its centre of mass.
    """
    b, m, _ = labels.shape
    labels = labels.astype(jnp.int32)
    numbers = masks.components(labels).reshape(b, -1)
    cells = jnp.stack(jnp.divmod(jnp.arange(m * m), m), axis=-1).astype(jnp.float32)

    def total(values: Float[Array, "i c"], of: Int[Array, " i"]) -> Float[Array, "j c"]:
        return jnp.zeros((m * m + 1, values.shape[-1])).at[of].add(values)

    counted = jnp.concatenate([jnp.ones((m * m, 1)), cells], axis=-1)
    sums = jax.vmap(lambda of: total(counted, of))(numbers)[:, 1:]  # Without the background.
    is_class = labels.reshape(b, 1, -1) == jnp.arange(1, classes + 1)[:, None]
    areas, found = jax.lax.top_k(jnp.where(is_class, sums[:, None, :, 0], 0), objects)
    mass = jnp.take_along_axis(sums[:, None, :, 1:], found[..., None], axis=2)
    mass = mass / jnp.maximum(areas, 1)[..., None]  # (b, k, n, 2)
    away = jnp.square(cells - mass[..., None, :]).sum(-1)
    inside = numbers[:, None, None] == found[..., None] + 1
    nearest = jnp.where(inside, away, jnp.inf).argmin(-1)
    distance = jnp.square(cells - cells[nearest][..., None, :]).sum(-1)
    width = jnp.maximum(_SPREAD * jnp.sqrt(areas), _LEAST)[..., None]
    present = (areas > 0)[..., None]
    targets = jnp.where(present, jnp.exp(-0.5 * distance / jnp.square(width)), 0).max(2)
    is_centre = (present & (distance == 0)).any(2)
    return targets.reshape(b, classes, m, m), is_centre.reshape(b, classes, m, m)
