"""Random keys that depend on the sample, not on its place in a batch."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PRNGKeyArray, UInt32


def object_keys(key: PRNGKeyArray, seeds: UInt32[Array, " b"], objects: int) -> Key[Array, "b k"]:
    """Returns keys (b, objects) from each image's own seed and the object's index in it."""
    per_image = jax.vmap(lambda seed: jax.random.fold_in(key, seed))(seeds)
    indexes = jnp.arange(objects, dtype=jnp.uint32)
    return jax.vmap(lambda image: jax.vmap(lambda i: jax.random.fold_in(image, i))(indexes))(
        per_image
    )


def fold_in(keys: Key[Array, "b k"], data: int | jax.Array) -> Key[Array, "b k"]:
    """Derives new keys from every key of an array (b, k)."""
    return jax.vmap(jax.vmap(lambda key: jax.random.fold_in(key, data)))(keys)
