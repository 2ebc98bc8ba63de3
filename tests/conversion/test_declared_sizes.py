"""Small files that declare gigabytes are errors before memory is reserved."""

import pickle
import resource
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from samjax import conversion
from samjax.conversion import torch_file, torch_writer

PICKLES = Path(__file__).parents[3] / "shared/faults/pickles"
GIB = 1 << 30


@pytest.fixture(autouse=True)
def little_memory():
    """Limits memory to a gigabyte more than is used now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + GIB
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def _archive(path, content, entries=(), compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a/data.pkl", content)
        for name, data in entries:
            archive.writestr(name, data)
    return path


def _proto(*opcodes):
    return pickle.PROTO + b"\x02" + b"".join(opcodes) + pickle.STOP


@pytest.mark.parametrize(
    "content",
    [
        _proto(pickle.NONE, pickle.LONG_BINPUT, struct.pack("<I", 0x7FFFFFFF)),
        _proto(pickle.NONE, pickle.PUT, b"2147483647\n"),
        _proto(pickle.BINUNICODE, struct.pack("<I", 0xFFFFFFF0), b"a"),
        _proto(pickle.BINUNICODE8, struct.pack("<Q", 1 << 40), b"a"),
        _proto(pickle.BYTEARRAY8, struct.pack("<Q", 1 << 33), b"a"),
        _proto(pickle.BINBYTES8, struct.pack("<Q", 1 << 33), b"a"),
        _proto(pickle.LONG4, struct.pack("<i", 0x7FFFFFF0), b"a"),
        _proto(pickle.FRAME, struct.pack("<Q", 1 << 40), pickle.NONE),
    ],
    ids=["LONG_BINPUT", "PUT", "BINUNICODE", "8", "BYTEARRAY8", "BINBYTES8", "LONG4", "FRAME"],
)
def test_opcodes(tmp_path, content):
    with pytest.raises(ValueError, match=r"x\.pth: not a readable PyTorch checkpoint") as caught:
        torch_file.read(_archive(tmp_path / "x.pth", content))
    assert not isinstance(caught.value.__cause__, MemoryError)


def test_the_samples():
    if not PICKLES.is_dir():
        pytest.skip(f"needs the samples in {PICKLES}")
    for path in sorted(PICKLES.iterdir()):
        with pytest.raises(ValueError, match=path.name) as caught:
            torch_file.read(path)
        assert not isinstance(caught.value.__cause__, MemoryError)


def test_a_compressed_archive_is_not_expanded(tmp_path):
    content = torch_writer._pickle({"a": np.zeros(4 << 20, np.float32)}, False)
    data = [("a/data/0", bytes(16 << 20))]
    path = _archive(tmp_path / "x.pth", content, data, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 17
    with pytest.raises(ValueError, match=r"x\.pth.*expected an entry that is not compressed"):
        torch_file.read(path)


def _view_of(shape, strides, length):
    """Returns a tensor of one storage of `length` numbers, with any shape and strides."""
    literal = torch_writer._literal
    kind = [literal("storage"), torch_writer._named("torch", "FloatStorage")]
    place = [literal("0"), literal("cpu"), literal(length)]
    storage = torch_writer._tuple([*kind, *place]) + pickle.BINPERSID
    arguments = torch_writer._tuple([storage, *map(literal, (0, shape, strides))])
    rebuild = torch_writer._named("torch._utils", "_rebuild_tensor_v2")
    return rebuild + arguments + pickle.REDUCE


def test_one_number_does_not_stand_for_many(tmp_path):
    tensor = _view_of((1, 50_000, 50_000, 768), (0, 0, 0, 0), 1)
    state = torch_writer._dict([torch_writer._literal("pos_embed") + tensor])
    path = _archive(tmp_path / "x.pth", _proto(state), [("a/data/0", bytes(4))])
    with pytest.raises(ValueError, match=r"x\.pth.*pos_embed: expected at most the 1 elements"):
        torch_file.read(path)
    literal = torch_writer._literal
    many = [literal(f"t{i}") + _view_of((1000,), (1,), 1000) for i in range(10)]
    path = _archive(
        tmp_path / "y.pth", _proto(torch_writer._dict(many)), [("a/data/0", bytes(4000))]
    )
    with pytest.raises(ValueError, match=r"y\.pth.*about 4000 bytes in all, found 40000"):
        torch_file.read(path)


def test_headers_of_safetensors(tmp_path):
    path = tmp_path / "x.safetensors"
    for length, header in (
        (1 << 60, b"{}"),
        (90 << 20, b"{}"),
        (None, b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'),
    ):
        size = len(header) if length is None else length
        path.write_bytes(struct.pack("<Q", size) + header)
        with pytest.raises(ValueError, match=r"x\.safetensors: not a readable"):
            conversion.from_torch(path)
