"""Model directories: damage, changed files and wrong settings are errors that name the file."""

import dataclasses
import errno
import json
import shutil

import jax
import numpy as np
import pytest
from small import TINY, random_params

from samjax import array_files, cli, conversion, digests
from samjax.data import inputs
from samjax.models import PeftConfig, directory


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "model"
    directory.save(path, directory.Model(TINY, inputs.Preprocessing(), random_params(TINY)))
    return path


@pytest.fixture
def model_dir(written, tmp_path):
    return shutil.copytree(written, tmp_path / "model")


def _change(model_dir, **sections):
    """Changes fields of config.json, as a user may in an editor."""
    path = model_dir / "config.json"
    content = json.loads(path.read_text())
    for section, fields in sections.items():
        is_fields = isinstance(fields, dict)
        content[section] = content[section] | fields if is_fields else fields
    path.write_text(json.dumps(content, indent=2) + "\n")


def _arrays(model_dir):
    """Returns the file of the arrays, which is the largest."""
    files = [path for path in (model_dir / "params").rglob("*") if path.is_file()]
    return max(files, key=lambda path: path.stat().st_size)


def test_other_formats_are_refused(model_dir):
    assert directory.load(model_dir).config == TINY
    _change(model_dir, format=1)
    with pytest.raises(ValueError, match=r"config\.json: format: expected one of 2, 3, 4, found 1"):
        directory.load(model_dir)


def _as_format_2(model_dir):
    """Gives config.json the names that it had in format 2."""
    path = model_dir / "config.json"
    content = json.loads(path.read_text())
    peft = content["model"].pop("peft")
    kind = {"sam_med2d": "full", "conv_bottleneck": "light", "none": "full"}[peft["kind"]]
    init = {"kaiming": "reference"}.get(peft["init"], peft["init"])
    content["model"] |= {"adapters": peft["kind"] != "none", "adapter_kind": kind}
    content["model"] |= {"adapter_ratio": peft["ratio"], "adapter_init": init}
    content["input"] = content.pop("preprocessing")
    path.write_text(json.dumps({**content, "format": 2}))
    (model_dir / digests.NAME).unlink()


@pytest.mark.parametrize(
    "peft", [PeftConfig(init="kaiming"), PeftConfig("conv_bottleneck", 0.5), PeftConfig("none")]
)
def test_format_2_is_read(tmp_path, peft):
    config = dataclasses.replace(TINY, peft=peft)
    model = directory.Model(config, inputs.Preprocessing(), random_params(config))
    directory.save(tmp_path / "model", model)
    _as_format_2(tmp_path / "model")
    assert directory.load(tmp_path / "model").config == config


# MARK: damage


def test_a_missing_device_is_not_reported_as_damage(model_dir, monkeypatch):
    def no_device():
        raise RuntimeError("Unable to initialize backend 'cuda'")

    monkeypatch.setattr(jax, "process_index", no_device)
    for call in (array_files.read_shapes, lambda path: array_files.read(path, {})):
        with pytest.raises(RuntimeError, match=r"backend 'cuda'"):
            call(model_dir / "params")


def test_one_changed_byte_anywhere_is_found(written, model_dir):
    files = [path for path in written.rglob("*") if path.is_file()]
    assert len(files) > 5
    for file in files:
        changed = model_dir / file.relative_to(written)
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        changed.write_bytes(content)
        with pytest.raises(ValueError) as caught:
            directory.load(model_dir)
        assert str(model_dir) in str(caught.value)
        changed.write_bytes(file.read_bytes())
    assert directory.load(model_dir).config == TINY


def test_an_edited_setting_is_an_error_until_its_digest_is_removed(model_dir):
    _change(model_dir, preprocessing={"mean": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match=r"config\.json: expected the bytes .*SHA256SUMS"):
        directory.load(model_dir)
    sums = model_dir / digests.NAME
    lines = [line for line in sums.read_text().splitlines() if "config.json" not in line]
    sums.write_text("\n".join(lines) + "\n")
    assert directory.load(model_dir).preprocessing.mean == (1, 2, 3)


@pytest.mark.parametrize("with_digests", [True, False])
@pytest.mark.parametrize("name", ["_METADATA", "manifest.ocdbt", "arrays"])
@pytest.mark.parametrize("how", ["missing", "cut", "empty"])
def test_a_missing_or_cut_file_is_one_error(model_dir, capfd, with_digests, name, how):
    if not with_digests:
        (model_dir / digests.NAME).unlink()
    path = _arrays(model_dir) if name == "arrays" else model_dir / "params" / name
    content = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes(content[: len(content) // 2 if how == "cut" else 0])
    with pytest.raises(ValueError) as caught:
        conversion.load_or_convert(model_dir)
    message = str(caught.value)
    assert str(model_dir / "params") in message and "\n" not in message
    assert str(path) in message or not with_digests
    assert "Traceback" not in capfd.readouterr().err


def test_an_incomplete_directory_is_an_error(model_dir):
    (model_dir / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"found no config\.json"):
        directory.load(model_dir)
    with pytest.raises(FileNotFoundError, match="samjax model directory"):
        conversion.load_or_convert(model_dir)


def test_a_directory_without_digests_is_read_with_a_warning(model_dir, caplog, capsys):
    (model_dir / digests.NAME).unlink()
    assert conversion.load_or_convert(model_dir).config == TINY
    assert [record.message for record in caplog.records if "no digests" in record.message]
    assert cli.main(["info", str(model_dir)]) == 0
    assert "no digests" in capsys.readouterr().out


def test_info_verifies(model_dir, capsys):
    assert cli.main(["info", str(model_dir)]) == 0
    assert "all as they were written" in capsys.readouterr().out
    arrays = _arrays(model_dir)
    content = arrays.read_bytes()
    arrays.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert cli.main(["info", str(model_dir)]) == 2
    assert str(arrays) in capsys.readouterr().err


# MARK: settings


@pytest.mark.parametrize(
    ("section", "fields", "message"),
    [
        (
            "preprocessing",
            {"std": [0.0, 1.0, 1.0]},
            r"preprocessing\.std: expected 3 numbers, each more than 0",
        ),
        (
            "preprocessing",
            {"std": [-1.0, 1.0, 1.0]},
            r"preprocessing\.std: expected 3 numbers, each more than 0",
        ),
        (
            "preprocessing",
            {"mean": [1.0, 2.0]},
            r"preprocessing\.mean: expected 3 numbers, found \(1\.0, 2",
        ),
        ("preprocessing", {"mean": ["a", "b", "c"]}, r"preprocessing\.mean: expected 3 numbers"),
        ("preprocessing", {"mean": "123"}, r"preprocessing\.mean: expected 3 numbers, found '123'"),
        ("preprocessing", {"mean": [float("nan")] * 3}, r"preprocessing\.mean: expected"),
        (
            "preprocessing",
            {"multimask": "yes"},
            r"preprocessing\.multimask: expected true or false",
        ),
        ("preprocessing", {"box_margin": None}, r"preprocessing\.box_margin: expected a number"),
        ("preprocessing", {"resize": ["stretch"]}, r"preprocessing\.resize: expected"),
        ("preprocessing", {"resise": "stretch"}, r"preprocessing\.resise: expected no such field"),
        ("model", {"image_size": "64"}, r"model\.image_size: expected a whole number, found '64'"),
        ("model", {"image_size": 64.5}, r"model\.image_size: expected a whole number"),
        ("model", {"peft": 1}, r"model\.peft: expected fields, found 1"),
        ("model", {"peft": {"kind": "full"}}, r"model\.peft\.kind: expected one of none, sam_med"),
        (
            "model",
            {"global_attn_indexes": 1},
            r"model\.global_attn_indexes: expected whole numbers",
        ),
        ("model", {"tiny_vit": [1]}, r"model\.tiny_vit: expected fields"),
        ("model", {"tiny_vit": {"dims": 3}}, r"model\.tiny_vit\.dims: expected"),
        ("model", {"mlp_ratio": "4"}, r"model\.mlp_ratio: expected a number"),
        ("model", {"image_size": 128}, r"model\.image_size: expected 64, as the arrays have it"),
        ("model", {"depth": 3}, r"model\.depth: expected 2, as the arrays have it, found 3"),
        ("model", {"peft": {"kind": "none"}}, r"model\.peft\.kind: expected one, as the arrays"),
        ("model", {"num_heads": 4}, r"model: expected .*rel_pos_h .*num_heads"),
        ("model", {"window_size": 3}, r"model: expected .*rel_pos_h .*window_size"),
        ("model", {"patch_size": 4}, r"model\.patch_size: expected 8"),
        ("model", {"num_multimask": 2}, r"model: expected .*num_multimask"),
        ("model", {"decoder_mlp_dim": 64}, r"model: expected .*decoder_mlp_dim"),
        ("model", {"peft": {"kind": "conv_bottleneck"}}, r"model: expected .*peft\.kind"),
        ("preprocessing", "text", r"preprocessing: expected fields, found 'text'"),
    ],
)
def test_invalid_settings_are_named(model_dir, section, fields, message):
    _change(model_dir, **{section: fields})
    with pytest.raises(ValueError, match=rf"config\.json: {message}"):
        directory.load(model_dir)


def test_missing_settings_are_named(model_dir):
    path = model_dir / "config.json"
    content = json.loads(path.read_text())
    del content["preprocessing"]["mean"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"config\.json: preprocessing\.mean: expected a field"):
        directory.load(model_dir)
    path.write_text("")
    with pytest.raises(ValueError, match=r"config\.json: "):
        directory.load(model_dir)


# MARK: weights that are not finite


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_unless_allowed(tmp_path, value, capsys):
    params = jax.tree.map(np.copy, random_params(TINY))
    params["mask_decoder"]["iou_token"][0, 3] = value
    model = directory.Model(TINY, inputs.Preprocessing(), params)
    directory.save(tmp_path / "model", model)
    conversion.to_torch(tmp_path / "x.pth", model)
    for path, name in ((tmp_path / "model", "mask_decoder/iou_token"), (tmp_path / "x.pth", "iou")):
        with pytest.raises(ValueError, match=rf"{path.name}: expected finite weights.*{name}"):
            conversion.load_or_convert(path)
        loaded = conversion.load_or_convert(path, allow_non_finite=True)
        np.testing.assert_array_equal(loaded.params["mask_decoder"]["iou_token"][0, 3], value)
    command = ["convert", "from-torch", str(tmp_path / "x.pth"), str(tmp_path / "new")]
    assert cli.main(command) == 2
    assert "iou_token" in capsys.readouterr().err and not (tmp_path / "new").exists()
    assert cli.main([*command, "--allow-non-finite"]) == 0


# MARK: writing


def _full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_no_partial_and_loses_no_old_files(model_dir, tmp_path, monkeypatch):
    before = sorted(path for path in tmp_path.rglob("*"))
    model = directory.load(model_dir)
    for where, name in ((array_files, "write"), (digests, "write")):
        with monkeypatch.context() as patched:
            patched.setattr(where, name, _full)
            for target in (tmp_path / "new", model_dir):
                with pytest.raises(OSError, match=f"No space left on device.*{target.name}"):
                    directory.save(target, model)
    with monkeypatch.context() as patched:
        patched.setattr("zipfile.ZipFile.writestr", _full)
        with pytest.raises(OSError, match=r"No space left on device.*new\.pth"):
            conversion.to_torch(tmp_path / "new.pth", model)
    assert sorted(path for path in tmp_path.rglob("*")) == before
    assert directory.load(model_dir).config == TINY
