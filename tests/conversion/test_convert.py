import dataclasses
import functools

import jax
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from samjax import conversion, models
from samjax.conversion import convert, naming, torch_file
from samjax.models import PeftConfig, directory

ADAPTER_NORM = "image_encoder.blocks.0.Adapter.norm.weight"


def _same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in theirs:
        assert ours[name].shape == theirs[name].shape, name
        assert ours[name].tobytes() == np.asarray(theirs[name]).tobytes(), name


def _statuses(report):
    return {entry.key: entry.status for entry in report.entries}


def test_round_trip_is_bit_identical(tmp_path, tiny, tensors, write):
    model, report = conversion.from_torch(write(tensors))
    assert model.config == tiny
    assert report.summary() == f"{len(tensors)} loaded"
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(model.params))
    directory.save(tmp_path / "model", model)
    conversion.to_torch(tmp_path / "back.pth", conversion.load_or_convert(tmp_path / "model"))
    _same(torch_file.read(tmp_path / "back.pth").tensors, tensors)


@pytest.mark.parametrize("name", ["tiny_sam_med2d_256.pth", "tiny_sam_1024.pth"])
def test_round_trip_of_published_files(tmp_path, published, name):
    source = torch_file.read(published / name)
    model, _ = conversion.from_torch(published / name)
    conversion.to_torch(tmp_path / "back.pth", model)
    back = torch_file.read(tmp_path / "back.pth")
    assert back.layout == source.layout
    _same(back.tensors, source.tensors)


def test_every_axis_of_every_kernel_is_where_it_belongs(tensors, write):
    params = conversion.from_torch(write(tensors))[0].params
    qkv = params["image_encoder"]["blocks_0"]["attn"]["qkv"]["kernel"]
    np.testing.assert_array_equal(qkv.T, tensors["image_encoder.blocks.0.attn.qkv.weight"])
    patch = params["image_encoder"]["patch_embed"]["proj"]["kernel"]
    np.testing.assert_array_equal(
        np.einsum("hwio->oihw", patch), tensors["image_encoder.patch_embed.proj.weight"]
    )
    up = params["mask_decoder"]["output_upscaling_0"]["kernel"]
    np.testing.assert_array_equal(
        np.einsum("hwio->iohw", up), tensors["mask_decoder.output_upscaling.0.weight"]
    )


def test_the_preprocessing_follows_the_family(published, tensors, write):
    sam = conversion.from_torch(write(tensors))[0]
    assert sam.preprocessing == convert.SAM_PREPROCESSING
    # An optimizer beside the weights is common: no evidence of the preprocessing.
    fine_tuned, report = conversion.from_torch(write(tensors, under_model=True))
    assert fine_tuned.preprocessing == convert.SAM_PREPROCESSING
    assert _statuses(report)["[optimizer]"] == "ignored"
    assert not fine_tuned.config.peft.enabled
    sam_med2d = conversion.from_torch(published / "tiny_sam_med2d_256.pth")[0]
    assert sam_med2d.preprocessing == convert.SAM_MED2D_PREPROCESSING
    override = {"mask_prompt": "sigmoid", "resize": "stretch"}
    changed = conversion.from_torch(write(tensors), preprocessing_overrides=override)[0]
    assert changed.preprocessing == dataclasses.replace(convert.SAM_PREPROCESSING, **override)


def test_missing_and_unexpected_keys_are_errors_that_list_them_all(tensors, write):
    lacking = "image_encoder.neck.2.weight", "prompt_encoder.no_mask_embed.weight"
    wrong = "mask_decoder.iou_token.weight"
    changed = {key: tensor for key, tensor in tensors.items() if key not in lacking}
    changed |= {wrong: np.zeros((1, 31), np.float32), "head.bias": np.zeros(7, np.float32)}
    path = write(changed)
    with pytest.raises(conversion.KeyMismatchError) as caught:
        conversion.from_torch(path)
    message = str(caught.value)
    assert str(path) in message
    for words in (*lacking, f"{wrong}  (expected (1, 32))", "(1, 31)", "(7,)", "head.bias"):
        assert words in message
    assert len(caught.value.report.mismatches) == 4

    model, report = conversion.from_torch(path, conversion.ConversionOptions(strict=False, seed=3))
    statuses = _statuses(report)
    assert statuses["head.bias"] == "unexpected"
    assert {statuses[key] for key in (*lacking, wrong)} == {"initialised"}
    assert "wrong shape, seed 3" in report.table()
    ours = naming.state_dict(model.params)
    _same(
        {key: ours[key] for key in changed if statuses[key] == "loaded"},
        {key: tensors[key] for key in changed if statuses[key] == "loaded"},
    )


def test_adapters_are_initialised_on_request(tiny, tensors, write):
    options = conversion.ConversionOptions(peft=PeftConfig())
    model, report = conversion.from_torch(write(tensors), options)
    new = {entry.key for entry in report.entries if entry.status == "initialised"}
    assert new and all(".Adapter." in key for key in new)
    assert model.config == dataclasses.replace(tiny, peft=PeftConfig())
    ours = naming.state_dict(model.params)
    _same({key: ours[key] for key in tensors}, tensors)
    assert not ours[ADAPTER_NORM].any()
    reference = dataclasses.replace(options, peft=PeftConfig(init="kaiming"))
    model, _ = conversion.from_torch(write(tensors), reference)
    assert (naming.state_dict(model.params)[ADAPTER_NORM] == 1).all()


def test_conv_bottleneck_adapters_survive_a_round_trip(tensors, write, tmp_path):
    options = conversion.ConversionOptions(peft=PeftConfig("conv_bottleneck", init="kaiming"))
    model, _ = conversion.from_torch(write(tensors), options)
    assert "image_encoder.blocks.0.Adapter.down.weight" in naming.state_dict(model.params)
    conversion.to_torch(tmp_path / "light.pth", model)
    back, report = conversion.from_torch(tmp_path / "light.pth")
    assert not report.mismatches
    assert back.config == model.config
    _same(naming.state_dict(back.params), naming.state_dict(model.params))


def test_a_missing_adapter_is_a_missing_key(published, write):
    """In a checkpoint with adapters, a block without one is an error."""
    tensors = torch_file.read(published / "tiny_sam_med2d_256.pth").tensors
    path = write({key: tensor for key, tensor in tensors.items() if ".3.Adapter" not in key})
    with pytest.raises(conversion.KeyMismatchError, match=r"missing .*blocks\.3\.Adapter"):
        conversion.from_torch(path, conversion.ConversionOptions(peft=PeftConfig()))


def test_another_image_size(tiny, tensors, write):
    model, report = conversion.from_torch(
        write(tensors), conversion.ConversionOptions(image_size=96)
    )
    assert model.config == dataclasses.replace(tiny, image_size=96)
    resized = {entry.key: entry for entry in report.entries if entry.status == "resized"}
    positions = [f"image_encoder.blocks.1.attn.rel_pos_{axis}" for axis in "hw"]
    assert sorted(resized) == sorted(["image_encoder.pos_embed", *positions])
    assert resized[positions[0]].shape == (15, 8) and "(23, 8)" in resized[positions[0]].note
    images = jax.ShapeDtypeStruct((1, 96, 96, 3), np.float32)
    encode = functools.partial(models.encode_image, model.config)
    assert jax.eval_shape(encode, model.params, images).shape == (1, 12, 12, 32)


def test_half_precision_becomes_float32_and_is_reported(tmp_path, tensors):
    half = {key: tensor.astype(ml_dtypes.bfloat16) for key, tensor in tensors.items()}
    contiguous = {key: np.ascontiguousarray(tensor) for key, tensor in half.items()}
    safetensors.numpy.save_file(contiguous, tmp_path / "half.safetensors")
    model, report = conversion.from_torch(tmp_path / "half.safetensors")
    assert {entry.note for entry in report.entries} == {"from bfloat16"}
    _same(
        naming.state_dict(model.params),
        {key: tensor.astype(np.float32) for key, tensor in half.items()},
    )


def test_known_unused_keys_are_ignored(tensors, write):
    extra = {"pixel_mean": np.zeros((3, 1, 1)), "pixel_std": np.zeros((3, 1, 1))}
    _, report = conversion.from_torch(write({**tensors, **extra}))
    assert report.summary() == f"{len(tensors)} loaded, 2 ignored"


def test_keys_of_distributed_training(tensors, write):
    wrapped = {f"module.{key}": tensor for key, tensor in tensors.items()}
    model, report = conversion.from_torch(write(wrapped))
    assert report.entries[0].key.startswith("module.")
    _same(naming.state_dict(model.params), tensors)


def test_load_or_convert_takes_models_and_checkpoints(tmp_path, tensors, write):
    checkpoint = write(tensors)
    directory.save(tmp_path / "model", conversion.from_torch(checkpoint)[0])
    for options in ({}, {"image_size": 96}, {"peft": PeftConfig()}, {"peft": PeftConfig("none")}):
        one = conversion.load_or_convert(checkpoint, **options)
        other = conversion.load_or_convert(tmp_path / "model", **options)
        assert (one.config, one.preprocessing) == (other.config, other.preprocessing)
        _same(naming.state_dict(one.params), naming.state_dict(other.params))
        assert one.config.peft == options.get("peft", PeftConfig("none"))


def test_parameters_to_initialise_are_those_of_a_regular_expression(write, tensors):
    file = write(tensors)
    tokens = conversion.load_or_convert(file, fresh=r"mask_decoder/.*tokens?", seed=3)
    theirs, ours = tensors, naming.state_dict(tokens.params)
    changed = {name for name in theirs if not np.array_equal(ours[name], theirs[name])}
    assert changed == {"mask_decoder.mask_tokens.weight", "mask_decoder.iou_token.weight"}
    with pytest.raises(ValueError, match=r"fresh: expected a regular expression, found '\('"):
        conversion.load_or_convert(file, fresh="(")
    with pytest.raises(ValueError, match=r"expected parameters to initialise.*'mask_tokens' match"):
        conversion.load_or_convert(file, fresh="mask_tokens")


def test_load_or_convert_names_what_it_cannot_load(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        conversion.load_or_convert(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="samjax model directory"):
        conversion.load_or_convert(tmp_path)
    (tmp_path / "x.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"x\.safetensors: not a readable safetensors file"):
        conversion.load_or_convert(tmp_path / "x.safetensors")
