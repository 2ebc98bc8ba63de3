"""SAMed's files: joined with the SAM that they were trained from, and written again."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import traverse_util
from small import random_params

from samjax import cli, conversion, models
from samjax.conversion import families, naming, torch_file, torch_writer
from samjax.data.classes import with_colors
from samjax.models import HeadConfig, PeftConfig, directory
from samjax.models.directory import Model

LORA = PeftConfig("lora", rank=3)
NAMES = ("liver", "left kidney")


@pytest.fixture(scope="module")
def model(tiny):
    config = dataclasses.replace(tiny, peft=LORA, head=HeadConfig("semantic", len(NAMES)))
    return Model(config, families.SAMED_PREPROCESSING, random_params(config), with_colors(NAMES))


@pytest.fixture(scope="module")
def files(tmp_path_factory, model, tensors):
    """A SAM with the model's encoder, and the model as a SAMed file, with and without settings."""
    folder = tmp_path_factory.mktemp("samed")
    encoder = naming.state_dict({"image_encoder": model.params["image_encoder"]})
    sam = tensors | {name: encoder[name] for name in tensors.keys() & encoder}
    torch_writer.write(folder / "sam.pth", sam, torch_writer.FLAT)
    conversion.to_torch(folder / "ours.pth", model)
    delta = torch_file.read(folder / "ours.pth").tensors
    torch_writer.write(folder / "theirs.pth", delta, torch_writer.FLAT)
    return folder


def convert(path, **options):
    return conversion.from_torch(path, conversion.ConversionOptions(**options))


def same(one, other):
    return jax.tree.all(jax.tree.map(np.array_equal, one, other))


def test_there_and_back(files, model):
    """Settings travel with our file; without them classes have numbers for names."""
    for name in ("ours", "theirs"):
        found, report = convert(files / f"{name}.pth", base=files / "sam.pth")
        assert same(found.params, model.params)
        assert found.config == model.config
        assert found.preprocessing == model.preprocessing
        assert not report.is_guess
        expected = NAMES if name == "ours" else ("class_1", "class_2")
        assert tuple(each.name for each in found.classes) == expected


def test_the_file_leaves_the_encoder_out(files):
    names = torch_file.read(files / "ours.pth").tensors
    assert not [name for name in names if name.startswith("image_encoder.")]
    numbers = [f"{number:03d}" for number in range(6)]
    lora = [f"w_{part}_{number}" for part in "ab" for number in numbers]
    assert list(names)[: len(lora)] == lora


def test_the_report_covers_both_files(files, tensors):
    delta = torch_file.read(files / "theirs.pth").tensors
    _, report = convert(files / "theirs.pth", base=files / "sam.pth")
    status = {entry.key: entry.status for entry in report.entries}
    assert all(status[name] == "loaded" for name in delta)
    for name in tensors:
        is_used = name.startswith("image_encoder.")
        assert status[f"sam.pth: {name}"] == ("loaded" if is_used else "ignored")
    assert len(status) == len(delta) + len(tensors)


def test_the_image_size(files, model):
    found, _ = convert(files / "theirs.pth", base=files / "sam.pth", image_size=96)
    assert found.config.image_size == 96
    conversion.to_torch(files / "larger.pth", found)
    again, report = convert(files / "larger.pth", base=files / "sam.pth")
    assert again.config == found.config and same(again.params, found.params)
    assert any(entry.status == "resized" for entry in report.entries)


def test_the_published_size_where_sam_has_its_own(tmp_path, files, model):
    """SAM's 1024 pixels are made SAMed's 512."""
    side = 1024 // model.config.patch_size
    sam = torch_file.read(files / "sam.pth").tensors
    width = model.config.embed_dim
    sam["image_encoder.pos_embed"] = np.zeros((1, side, side, width), np.float32)
    for block in model.config.global_attn_indexes:
        for axis in "hw":
            name = f"image_encoder.blocks.{block}.attn.rel_pos_{axis}"
            sam[name] = np.zeros((2 * side - 1, sam[name].shape[1]), np.float32)
    torch_writer.write(tmp_path / "sam.pth", sam, torch_writer.FLAT)
    found, _ = convert(files / "theirs.pth", base=tmp_path / "sam.pth")
    assert found.config.image_size == 512


def test_merged_it_is_a_whole_network(files, model, tmp_path):
    config, params = models.merge_lora(model.config, model.params)
    merged = dataclasses.replace(model, config=config, params=params)
    conversion.to_torch(tmp_path / "merged.pth", merged)
    found, _ = convert(tmp_path / "merged.pth")
    assert found.config == config and same(found.params, params)


def test_samed_s_leaves_the_transformer_to_sam(files, model, tensors, tmp_path):
    config = dataclasses.replace(model.config, peft=dataclasses.replace(LORA, decoder=True))
    params = dict(models.named_leaves(random_params(config)))
    start, _ = convert(files / "theirs.pth", base=files / "sam.pth")
    params |= models.named_leaves(start.params)  # The encoder, for one, of `sam.pth`.
    sam = {naming.torch_name(path): path for path in params}
    for name, tensor in tensors.items():
        if name.startswith("mask_decoder.transformer."):
            params[sam[name]] = naming.from_torch(sam[name], tensor)
    params = traverse_util.unflatten_dict(params, sep="/")
    whole = dataclasses.replace(model, config=config, params=params)
    conversion.to_torch(tmp_path / "s.pth", whole)
    delta = torch_file.read(tmp_path / "s.pth").tensors
    assert not [name for name in delta if "transformer" in name]
    assert {"sa_a_000", "cti_b_003", "cit_a_001", "fati_qa", "fati_vb"} <= delta.keys()
    torch_writer.write(tmp_path / "theirs.pth", delta, torch_writer.FLAT)
    for name in ("s", "theirs"):
        found, _ = convert(tmp_path / f"{name}.pth", base=files / "sam.pth")
        assert found.config == config and same(found.params, params)


def test_a_file_alone_is_refused(files):
    message = r"theirs.pth: expected SAM's file beside it, .*--base SAM_FILE. joins them"
    with pytest.raises(ValueError, match=message):
        convert(files / "theirs.pth")
    with pytest.raises(ValueError, match=message):
        conversion.load_or_convert(files / "theirs.pth")


def test_a_whole_network_needs_no_base(files):
    with pytest.raises(ValueError, match=r"expected a file of SAMed .*convert it without --base"):
        convert(files / "sam.pth", base=files / "sam.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 2}, r"a ViT of 3 blocks, 24 wide.*found a ViT of 2 blocks, 24 wide"),
        ({"embed_dim": 48, "num_heads": 6}, r"of 3 blocks, 24 wide.*found a ViT of 3 blocks, 48"),
        ({"peft": PeftConfig()}, r"found a ViT of 3 blocks, 24 wide, with adapters of its own"),
    ],
)
def test_another_sam_is_named(files, tmp_path, tiny, change, message):
    config = dataclasses.replace(tiny, **change)
    torch_writer.write(
        tmp_path / "other.pth", naming.state_dict(random_params(config)), torch_writer.FLAT
    )
    with pytest.raises(ValueError, match=rf"other.pth: expected the SAM .*{message}"):
        convert(files / "theirs.pth", base=tmp_path / "other.pth")


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("w_a_003", (5, 24), r"wrong shape +\(5, 24\) +w_a_003 +\(expected \(3, 24\)\)"),
        ("w_b_001", (24, 2), r"wrong shape +\(24, 2\) +w_b_001 +\(expected \(24, 3\)\)"),
        ("mask_decoder.mask_tokens.weight", (5, 8), "missing .*output_hypernetworks_mlps.3"),
        ("mask_decoder.mask_tokens.weight", (1, 8), "expected .*of the background and of each"),
        ("mask_decoder.iou_prediction_head.layers.2.bias", (7,), r"\(expected \(3,\)\)"),
    ],
)
def test_ranks_and_classes_that_disagree(files, tmp_path, name, shape, message):
    delta = torch_file.read(files / "theirs.pth").tensors
    shape = (shape[0], delta[name].shape[-1]) if "tokens" in name else shape
    delta[name] = np.zeros(shape, np.float32)
    torch_writer.write(tmp_path / "odd.pth", delta, torch_writer.FLAT)
    with pytest.raises(ValueError, match=message):
        convert(tmp_path / "odd.pth", base=files / "sam.pth")


def test_weights_that_are_not_finite_are_named(files, tmp_path):
    delta = torch_file.read(files / "theirs.pth").tensors
    delta["w_b_002"] = np.full_like(delta["w_b_002"], np.nan)
    torch_writer.write(tmp_path / "nan.pth", delta, torch_writer.FLAT)
    with pytest.raises(ValueError, match=r"blocks\.1\.Adapter\.q_b"):
        convert(tmp_path / "nan.pth", base=files / "sam.pth")


@pytest.mark.parametrize(
    "changes",
    [
        {"peft": PeftConfig("lora", scale=2.0)},
        {"peft": PeftConfig("lora", targets=("q",))},
        {"peft": PeftConfig("lora", layers=(1,))},
        {"peft": LORA, "head": HeadConfig()},
    ],
    ids=["scale", "targets", "layers", "masks"],
)
def test_what_a_file_cannot_hold(tmp_path, model, changes):
    config = dataclasses.replace(model.config, **changes)
    classes = model.classes[: config.head.classes]
    other = Model(config, model.preprocessing, random_params(config), classes)
    with pytest.raises(ValueError, match=r"x.pth: expected LoRA as a SAMed file.*merge_lora"):
        conversion.to_torch(tmp_path / "x.pth", other)


def test_the_command(files, model, tmp_path, capsys):
    theirs, sam, target = (
        str(p) for p in (files / "theirs.pth", files / "sam.pth", tmp_path / "m")
    )
    command = ["convert", "from-torch", theirs, target, "--base", sam, "--classes"]
    assert cli.main([*command, "liver"]) == 2
    assert "--classes: expected 2 names" in capsys.readouterr().err
    assert cli.main([*command, *NAMES]) == 0
    found = directory.load(target)
    assert found.classes == model.classes and same(found.params, model.params)
    assert cli.main(["convert", "to-torch", target, str(tmp_path / "back.pth")]) == 0
    assert "without the image encoder" in capsys.readouterr().out
    back, start = (
        torch_file.read(p).tensors for p in (tmp_path / "back.pth", files / "theirs.pth")
    )
    assert list(back) == list(start)
    assert all(np.array_equal(back[name], start[name]) for name in start)
