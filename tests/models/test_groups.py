import typing

import jax
import pytest
from small import TINY, random_params, shapes

from samjax import models
from samjax.models import HeadConfig, PeftConfig, declare, groups, heads, peft

KINDS = [kind for kind in typing.get_args(peft.config.Kind) if kind != "none"]
HEADS = [kind for kind in typing.get_args(heads.config.Kind) if kind not in ("masks", "pixel")]


def of_one_block(encoder="vit", **fields):
    blocks = {"depth": 1, "global_attn_indexes": ()} if encoder == "vit" else {}
    return models.tiny(encoder=encoder, decoder_depth=1, **blocks, **fields)


def test_every_parameter_of_a_network_belongs_to_one_group():
    config = models.SamConfig()
    params = shapes(config)
    split = groups.split(config, params)
    assert sum(len(group) for group in split.values()) == len(jax.tree.leaves(params))
    prompts = models.SamConfig(head=models.HeadConfig("prompts", classes=2))
    with_head = groups.split(prompts, shapes(prompts))
    assert set(split) | {"prompts"} == set(with_head) == set(typing.get_args(declare.GroupName))
    assert jax.tree.structure(groups.merge(split)) == jax.tree.structure(params)


@pytest.mark.parametrize(
    "config",
    [
        *(of_one_block(peft=PeftConfig(kind), head=HeadConfig("linear", 2)) for kind in KINDS),
        *(of_one_block(peft=PeftConfig("none"), head=HeadConfig(kind, 2)) for kind in HEADS),
        of_one_block("tiny_vit", peft=PeftConfig("lora", decoder=True), remat=True),
    ],
    ids=[*KINDS, *HEADS, "tiny_vit"],
)
def test_every_kind_of_module_declares_groups(config):
    for path, declared in models.declarations(config).items():
        assert declared.group in typing.get_args(declare.GroupName), path
        assert declared.std >= 0
        in_encoder = path.startswith("image_encoder/")
        assert (declared.group == "adapter") == (in_encoder and "/adapter/" in path), path
        if declared.group != "constant":
            assert (declared.group == "encoder") == (in_encoder and "/adapter/" not in path), path
            assert (declared.group == "decoder") == path.startswith("mask_decoder/"), path


def test_a_network_without_adapters_has_no_such_group():
    config = models.SamConfig(peft=PeftConfig("none"))
    split = groups.split(config, shapes(config))
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
    assert models.declarations(models.SamConfig())[path].group == group


def test_an_unknown_parameter_is_named():
    params = {"prompt_encoder": {"lora": jax.ShapeDtypeStruct((1,), "float32")}}
    with pytest.raises(ValueError, match="parameter prompt_encoder/lora: expected one that"):
        groups.split(TINY, params)


def test_split_and_merge_are_inverse():
    params = random_params(TINY)
    again = groups.merge(groups.split(TINY, params))
    assert jax.tree.all(jax.tree.map(lambda a, b: a is b, params, again))
