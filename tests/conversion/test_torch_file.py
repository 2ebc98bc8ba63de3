import collections
import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samjax.conversion import torch_file, torch_writer


def _archive(path, content, storages=()):
    """Writes a zip archive with this pickle, as torch.save does."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        for number, data in enumerate(storages):
            archive.writestr(f"archive/data/{number}", data)
    return path


def _calling(module, name, *arguments):
    """Returns opcodes that call a named function with the arguments."""
    packed = torch_writer._tuple([torch_writer._literal(each) for each in arguments])
    return torch_writer._named(module, name) + packed + pickle.REDUCE


def _pickled(*parts):
    return pickle.PROTO + b"\x02" + b"".join(parts) + pickle.STOP


def _in_state_dict(opcodes):
    return _pickled(torch_writer._dict([torch_writer._literal("weight") + opcodes]))


def _beside_state_dict(opcodes):
    model = torch_writer._literal("model") + torch_writer._dict([])
    return _pickled(torch_writer._dict([model, torch_writer._literal("optimizer") + opcodes]))


def test_writing_and_reading_back(tmp_path):
    tensors = {
        "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        "b": np.float32([[np.nan, -0.0], [np.inf, 1e-45]]).T,
        "scalar": np.float32(3).reshape(()),
        "none": np.zeros((0, 4), np.float32),
    }
    for layout in (torch_writer.FLAT, torch_writer.SAM_MED2D, torch_writer.MSA):
        torch_writer.write(tmp_path / "x.pth", tensors, layout)
        found = torch_file.read(tmp_path / "x.pth")
        assert found.layout == tuple(layout)
        assert list(found.tensors) == list(tensors)
        for name, tensor in tensors.items():
            assert found.tensors[name].shape == tensor.shape
            assert found.tensors[name].tobytes() == tensor.tobytes()
    assert os.listdir(tmp_path) == ["x.pth"]


def test_torch_reads_what_is_written(tmp_path):
    torch = pytest.importorskip("torch")
    tensors = {"a": np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)}
    torch_writer.write(tmp_path / "x.pth", tensors, torch_writer.SAM_MED2D)
    found = torch.load(tmp_path / "x.pth", weights_only=True)
    assert found["optimizer"] is None
    np.testing.assert_array_equal(found["model"]["a"].numpy(), tensors["a"])


def test_reads_what_torch_writes(tmp_path):
    torch = pytest.importorskip("torch")
    base = torch.randn(4, 6)
    state = collections.OrderedDict(
        transposed=base.T,
        part=base[1:, ::2],
        shared=base,
        parameter=torch.nn.Parameter(torch.randn(3)),
        half=torch.randn(5).half(),
        brain=torch.randn(5).bfloat16(),
        double=torch.randn(5).double(),
        whole=torch.arange(3),
        truth=torch.tensor([True, False]),
        scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 3),
    )
    torch.save(state, tmp_path / "x.pth")
    found = torch_file.read(tmp_path / "x.pth").tensors
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert found[name].shape == tuple(tensor.shape)
        assert str(found[name].dtype) == str(tensor.dtype).removeprefix("torch.")
        np.testing.assert_array_equal(
            found[name].astype(np.float64), tensor.detach().to(torch.float64).numpy()
        )


def test_optimizer_object_beside_the_model_is_never_built(tmp_path):
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    torch.save({"model": layer.state_dict(), "optimizer": optimizer}, tmp_path / "x.pth")
    found = torch_file.read(tmp_path / "x.pth")
    assert found.layout == ("model", "optimizer")
    np.testing.assert_array_equal(found.tensors["weight"], layer.weight.detach().numpy())


def test_pickled_module_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(3, 2), tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"x\.pth.*object of torch\.nn\.modules\.linear\.Linear"):
        torch_file.read(tmp_path / "x.pth")


def test_legacy_format_is_named(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({}, tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"x\.pth.*before version 1\.6.*torch\.save"):
        torch_file.read(tmp_path / "x.pth")


@pytest.mark.parametrize("module", ["os", "posix"])
def test_a_command_is_never_run(tmp_path, module):
    trace = tmp_path / "trace"
    attack = _calling(module, "system", f"touch {trace}")
    with pytest.raises(ValueError, match=r"weight.*an object of .*system"):
        torch_file.read(_archive(tmp_path / "x.pth", _in_state_dict(attack)))
    assert torch_file.read(_archive(tmp_path / "y.pth", _beside_state_dict(attack))).tensors == {}
    assert not trace.exists()


@pytest.mark.parametrize("module", ["builtins", "__builtin__"])
@pytest.mark.parametrize("name", ["eval", "exec", "getattr", "__import__"])
def test_builtins_are_never_called(tmp_path, module, name):
    trace = tmp_path / "trace"
    attack = _calling(module, name, f"open({str(trace)!r}, 'w')")
    with pytest.raises(ValueError, match=f"an object of {module}.{name}"):
        torch_file.read(_archive(tmp_path / "x.pth", _in_state_dict(attack)))
    torch_file.read(_archive(tmp_path / "y.pth", _beside_state_dict(attack)))
    assert not trace.exists()


class _Imports(dict):
    """An object whose pickle calls a module that must not be imported."""

    def __reduce__(self):
        return (os.path.join, ("a", "b"), {"state": 1}, iter([1]), iter([("k", "v")]))


def test_every_way_of_building_an_object_is_inert(tmp_path):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        beside = [_Imports(), {1, 2}, frozenset("ab"), collections.deque([1]), 2j, range(3)]
        content = pickle.dumps({"model": {}, "optimizer": beside}, protocol)
        assert torch_file.read(_archive(tmp_path / "x.pth", content)).tensors == {}


def test_stand_ins_cannot_be_altered(tmp_path):
    """State set on a stand-in's class would outlive the file."""
    state = torch_writer._tuple(
        [torch_writer._literal(None), torch_writer._literal({"__init__": "x", "planted": 1})]
    )
    for module, name in [
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch._utils", "_rebuild_parameter"),
        ("collections", "OrderedDict"),
        ("os", "system"),
        ("torch", "FloatStorage"),
    ]:
        content = _beside_state_dict(torch_writer._named(module, name) + state + pickle.BUILD)
        with pytest.raises(ValueError, match="not a readable PyTorch checkpoint"):
            torch_file.read(_archive(tmp_path / "x.pth", content))
    for stand_in in (
        torch_file._Tensor,
        torch_file._Parameter,
        torch_file._Dict,
        torch_file._Inert,
    ):
        assert not hasattr(stand_in, "planted")


@pytest.mark.parametrize(
    ("shape", "offset", "length"),
    [((4,), 0, 3), ((2, 2), 1, 4), ((1 << 62, 4), 0, 4), ((4,), 1 << 70, 4)],
)
def test_a_tensor_cannot_reach_beyond_its_storage(tmp_path, shape, offset, length):
    place = [torch_writer._literal(each) for each in ("0", "cpu", length)]
    kind = [torch_writer._literal("storage"), torch_writer._named("torch", "FloatStorage")]
    storage = torch_writer._tuple([*kind, *place]) + pickle.BINPERSID
    strides = tuple(1 for _ in shape)
    layout = [torch_writer._literal(each) for each in (offset, shape, strides)]
    tensor = torch_writer._named("torch._utils", "_rebuild_tensor_v2")
    tensor += torch_writer._tuple([storage, *layout]) + pickle.REDUCE
    path = _archive(tmp_path / "x.pth", _in_state_dict(tensor), [bytes(4 * length)])
    if shape == (2, 2):  # Strides of one: three elements from the second on.
        assert torch_file.read(path).tensors["weight"].shape == shape
    else:
        with pytest.raises(ValueError, match=r"x\.pth"):
            torch_file.read(path)


def test_missing_file_and_wrong_kinds(tmp_path):
    with pytest.raises(FileNotFoundError):
        torch_file.read(tmp_path / "no.pth")
    (tmp_path / "text.pth").write_text("<html>not found</html>")
    with pytest.raises(ValueError, match=r"text\.pth.*expected a zip file"):
        torch_file.read(tmp_path / "text.pth")
    _archive(tmp_path / "list.pth", pickle.dumps([1, 2], 2))
    with pytest.raises(ValueError, match=r"list\.pth.*expected a state dict, found a list"):
        torch_file.read(tmp_path / "list.pth")
    _archive(tmp_path / "number.pth", pickle.dumps({"a": 1}, 2))
    with pytest.raises(ValueError, match=r"'a': expected a tensor, found a int"):
        torch_file.read(tmp_path / "number.pth")
    _archive(tmp_path / "cut.pth", pickle.dumps({"a": "b" * 100}, 2)[:20])
    with pytest.raises(ValueError, match=r"cut\.pth"):
        torch_file.read(tmp_path / "cut.pth")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_truncated_file_is_named(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "sam.pth"
    torch_writer.write(path, {"a": np.ones(40, np.float32), "b": np.ones(3, np.float32)})
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError, match=r"sam\.pth"):
        torch_file.read(path)


def test_a_storage_cut_short_is_named(tmp_path):
    content = torch_writer._pickle({"a": np.ones(8, np.float32)}, False)
    path = _archive(tmp_path / "x.pth", content, [bytes(28)])
    with pytest.raises(ValueError, match=r"x\.pth.*data/0: expected 32 bytes, found 28"):
        torch_file.read(path)
