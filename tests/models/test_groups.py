import jax
import pytest
from small import TINY, random_params, shapes

from samjax import models
from samjax.models import PeftConfig, groups


def test_every_parameter_of_a_network_belongs_to_one_group():
    params = shapes(models.SamConfig())
    split = groups.split(params)
    assert sum(len(group) for group in split.values()) == len(jax.tree.leaves(params))
    assert set(split) == {
        *("constant", "adapter", "encoder", "boxes", "points", "masks", "no_mask", "decoder")
    }
    assert jax.tree.structure(groups.merge(split)) == jax.tree.structure(params)


def test_a_network_without_adapters_has_no_such_group():
    split = groups.split(shapes(models.SamConfig(peft=PeftConfig("none"))))
    assert "adapter" not in split
    assert groups.pick(split, ("adapter", "decoder")).keys() == {"decoder"}


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("prompt_encoder/pe_layer/positional_encoding_gaussian_matrix", "constant"),
        ("image_encoder/blocks_11/adapter/spatial_2/kernel", "adapter"),
        ("image_encoder/blocks_11/mlp/lin1/kernel", "encoder"),
        ("image_encoder/neck_3/scale", "encoder"),
        ("prompt_encoder/point_embeddings_0", "points"),
        ("prompt_encoder/point_embeddings_1", "points"),
        ("prompt_encoder/not_a_point_embed", "points"),
        ("prompt_encoder/point_embeddings_2", "boxes"),
        ("prompt_encoder/point_embeddings_3", "boxes"),
        ("prompt_encoder/mask_downscaling_6/bias", "masks"),
        ("prompt_encoder/no_mask_embed", "no_mask"),
        ("mask_decoder/mask_tokens", "decoder"),
    ],
)
def test_groups(path, group):
    assert groups.group_of(path) == group


@pytest.mark.parametrize("path", ["image_decoder/neck", "prompt_encoder/lora", "", "blocks_0"])
def test_an_unknown_parameter_is_named(path):
    with pytest.raises(ValueError, match=f"parameter {path}: belongs to no group"):
        groups.group_of(path)


def test_split_and_merge_are_inverse():
    params = random_params(TINY)
    again = groups.merge(groups.split(params))
    assert jax.tree.all(jax.tree.map(lambda a, b: a is b, params, again))
