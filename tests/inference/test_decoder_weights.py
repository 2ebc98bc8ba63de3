"""Packing of the decoder's parameters into few arrays."""

import jax
import numpy as np

from samjax.inference import pack_weights
from samjax.inference.decoder_weights import unpack_weights


def test_packing_loses_nothing_but_the_encoder(model):
    params = model.params
    unpacked = unpack_weights(pack_weights(params))
    assert unpacked.keys() == params.keys() - {"image_encoder"}
    for name, part in unpacked.items():
        jax.tree.map(np.testing.assert_array_equal, part, params[name])


def test_norms_and_biases_are_one_array(model):
    packed = pack_weights(model.params)
    decoder = {name: model.params[name] for name in ("prompt_encoder", "mask_decoder")}
    vectors = [leaf for leaf in jax.tree.leaves(decoder) if leaf.ndim == 1]
    assert len(vectors) > 50
    assert len(jax.tree.leaves(packed)) == len(jax.tree.leaves(decoder)) - len(vectors) + 1


def test_weights_of_another_network_of_the_same_shape_do_not_recompile(model):
    unpack = jax.jit(unpack_weights)
    unpack(pack_weights(model.params))
    unpack(pack_weights(jax.tree.map(lambda leaf: leaf + 1, model.params)))
    assert unpack._cache_size() == 1
