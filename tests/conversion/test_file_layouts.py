"""Layouts of checkpoint files, and files that are no checkpoints."""

import gzip
import io
import json
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from samjax import conversion
from samjax.conversion import naming


def _same(model, tensors):
    ours = naming.state_dict(model.params)
    assert ours.keys() == tensors.keys()
    assert all(np.array_equal(ours[name], tensors[name]) for name in tensors)


def _prefixed(tensors, prefix):
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _averaged(tensors, prefix):
    """Renames tensors as PyTorch's `AveragedModel` does."""
    count = prefix.replace("module.", "n_averaged")
    return _prefixed(tensors, prefix) | {count: np.zeros((), np.int64)}


@pytest.mark.parametrize(
    ("wrap", "note"),
    [
        (lambda t: {"state_dict": t}, "unwrapped from state_dict"),
        (lambda t: {"model_state_dict": t, "epoch": 7, "loss": 0.5}, "model_state_dict"),
        (lambda t: {"model": t, "optimizer": {"state": {}}, "epoch": 1}, "from model"),
        (lambda t: {"checkpoint": {"state_dict": t}}, "from checkpoint.state_dict"),
        (lambda t: {"model_state": _prefixed(t, "sam.")}, "prefix taken off: sam."),
        (lambda t: {"state_dict": _prefixed(t, "model.")}, "prefix taken off: model."),
        (lambda t: _prefixed(t, "module."), "module."),
        (lambda t: _prefixed(t, "_orig_mod."), "_orig_mod."),
        (lambda t: _prefixed(t, "module._orig_mod."), "_orig_mod."),
        (lambda t: {"state_dict": _prefixed(t, "model._orig_mod.sam.")}, "model.sam."),
        (lambda t: t | {"epoch": 7, "name": "mine"}, "a int, no tensor"),
        (lambda t: {"model": t, "loss": np.zeros((), np.float32)}, "from model"),
        (lambda t: {"ema": t, "epoch": 7}, "unwrapped from ema"),
        (lambda t: _averaged(t, "module."), "a count of averaged updates"),
        (lambda t: _averaged(t, "ema_model.module."), "ema_model."),
    ],
)
def test_known_wrappers_and_prefixes(save, tensors, wrap, note):
    model, report = conversion.from_torch(save(wrap(tensors)))
    _same(model, tensors)
    assert note in report.table()
    assert {entry.status for entry in report.entries} <= {"loaded", "ignored"}


def test_averages_beside_the_weights_are_ignored_with_a_warning(save, tensors, caplog):
    twice = {name: 2 * tensor for name, tensor in tensors.items()}
    model, _ = conversion.from_torch(save({"model": tensors, "ema": twice}))
    _same(model, tensors)
    assert "left out 'ema': averaged weights beside the others" in caplog.text


def test_a_compiled_part_of_a_network(save, tensors):
    names = {name: name.replace("image_encoder.", "image_encoder._orig_mod.") for name in tensors}
    model, _ = conversion.from_torch(save({names[name]: tensors[name] for name in tensors}))
    _same(model, tensors)


def test_ambiguous_files_are_errors(save, tensors):
    with pytest.raises(ValueError, match=r"several, under model and state_dict"):
        conversion.from_torch(save({"model": tensors, "state_dict": tensors}))
    both = _prefixed(tensors, "model.") | _prefixed(tensors, "sam.")
    with pytest.raises(ValueError, match=r"several, under the prefixes model\., sam\."):
        conversion.from_torch(save(both))


def test_the_error_for_an_unknown_layout_lists_the_keys(save, tensors):
    path = save({"model_statedict": tensors, "epoch": 7})
    with pytest.raises(ValueError, match=r"saved\.pth.*'model_statedict': a dict of 188.*'epoch'"):
        conversion.from_torch(path)
    with pytest.raises(ValueError, match=r"the nearest is {'model_state_dict': ...}"):
        conversion.from_torch(path)
    with pytest.raises(ValueError, match=r"found: .*unknown prefix 'my_sam\.'"):
        conversion.from_torch(save(_prefixed(tensors, "my_sam.")))
    averaged = {"ema": {"shadow": tensors}, "step": np.zeros((), np.float32)}
    with pytest.raises(ValueError, match=r"found the keys .shadow.: a dict of 188"):
        conversion.from_torch(save(averaged))
    with pytest.raises(ValueError, match=r"found: fc\.weight; the nearest known layout"):
        conversion.from_torch(save({"fc.weight": np.zeros((2, 2), np.float32)}))


def test_weights_in_several_files(tmp_path, tensors):
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[:50]}
    shards["model-00002-of-00002.safetensors"] = names[50:]
    for shard, part in shards.items():
        safetensors.numpy.save_file({name: tensors[name] for name in part}, tmp_path / shard)
    index = tmp_path / "model.safetensors.index.json"
    weight_map = {name: shard for shard, part in shards.items() for name in part}
    index.write_text(json.dumps({"weight_map": weight_map}))
    for path in (tmp_path, index):
        model, report = conversion.from_torch(path)
        _same(model, tensors)
        assert "2 files" in report.table()
    with pytest.raises(ValueError, match=r"00001-of-00002\.safetensors: one part of sharded"):
        conversion.from_torch(tmp_path / "model-00001-of-00002.safetensors")
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"00002-of-00002\.safetensors: missing"):
        conversion.from_torch(tmp_path)
    index.write_text(json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}))
    with pytest.raises(ValueError, match=r"index\.json: not an index .* files beside"):
        conversion.from_torch(tmp_path)


def test_a_folder_with_pytorch_weights(tmp_path, write, tensors):
    write(tensors, name="pytorch_model.bin")
    _same(conversion.from_torch(tmp_path)[0], tensors)


def test_the_content_counts_not_the_name(tmp_path, write, tensors):
    write(tensors, name="SAM.PTH")
    _same(conversion.from_torch(tmp_path / "SAM.PTH")[0], tensors)
    write(tensors, name="torch.safetensors")
    _same(conversion.from_torch(tmp_path / "torch.safetensors")[0], tensors)
    for name in ("upper.SAFETENSORS", "safe.pth"):
        safetensors.numpy.save_file(tensors, tmp_path / name)
        model, report = conversion.from_torch(tmp_path / name)
        _same(model, tensors)
        assert ("a safetensors file, whatever its name" in report.table()) == (name == "safe.pth")


def _zip_of(name):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, b"0")
    return content.getvalue()


@pytest.mark.parametrize("name", ["sam.pth", "sam.safetensors"])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "an HTML page"),
        (b"\n  <html lang='en'>", "an HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML text"),
        (b'{"error": "not found"}', "a text file that begins"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3\n", "git lfs pull"),
        (gzip.compress(b"weights"), "a gzip file; unpack"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
        (b"\x93NUMPY\x01\x00", "a NumPy array"),
        (bytes(257) + b"ustar\x0000" + bytes(248), "a tar archive"),
        (bytes(1000), "no known kind"),
        (_zip_of("sam_vit_b.pth"), "it holds sam_vit_b.pth"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_error_for_another_file_names_its_format(tmp_path, name, content, what):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as caught:
        conversion.from_torch(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value) and what in str(caught.value)
