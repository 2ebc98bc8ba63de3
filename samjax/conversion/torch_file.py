"""PyTorch's zip checkpoints, read without PyTorch and without running what is in them.

A `.pth` file is a zip archive: one pickle that describes nested objects, and one raw file for each
tensor storage. A pickle is a program that may call anything it can name, so nothing it names is
ever looked up here: tensors become descriptions of where their numbers lie, and every other class
or function becomes an inert object that accepts whatever is done to it and does nothing.
"""

import dataclasses
import math
import pickle
import zipfile
from pathlib import Path
from typing import IO, Any, TypeGuard

import jax.numpy as jnp
import numpy as np

_DTYPES = {
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(jnp.bfloat16),
    "DoubleStorage": np.dtype(np.float64),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}
_LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
# What a damaged or hostile archive or pickle can raise; nothing of ours hides behind these.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


@dataclasses.dataclass(frozen=True)
class TorchFile:
    """The state dict found in a `.pth` file.

    Attributes:
        tensors: Arrays by their PyTorch names; read-only.
        layout: The keys of the dict that held the state dict under `model`; empty where the file
            is the state dict itself.
    """

    tensors: dict[str, np.ndarray]
    layout: tuple[str, ...]


def read(path: str | Path) -> TorchFile:
    """Reads the state dict of a `.pth` or `.pt` file, flat or under the key `model`.

    Only the tensors of the state dict are read: an optimizer beside it costs nothing, and
    whatever else the file holds is never run.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, of PyTorch's format from before version 1.6, or holds no state
            dict of tensors; the message names the file.
    """
    path = Path(path)
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            raise ValueError(f"{path}: {_why_no_zip(file)}")
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive)
    except _DAMAGE as error:
        raise ValueError(f"{path}: not a readable PyTorch checkpoint: {error}") from error


def _why_no_zip(file: IO[bytes]) -> str:
    if file.read(len(_LEGACY_MAGIC)) == _LEGACY_MAGIC:
        return (
            "PyTorch's format from before version 1.6, which cannot be read safely; load it once "
            "with torch and write it again with torch.save"
        )
    return "not a PyTorch checkpoint (expected a zip file); is it cut short?"


def _read_archive(archive: zipfile.ZipFile) -> TorchFile:
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError(f"expected one data.pkl, found {len(pickles)}")
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
        raise ValueError("expected little-endian numbers")
    with archive.open(pickles[0]) as file:
        content = _Unpickler(file).load()
    layout: tuple[str, ...] = ()
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        layout = tuple(str(key) for key in content)
        content = content["model"]
    _check_state_dict(content)
    storages: dict[_Storage, np.ndarray] = {}
    for tensor in content.values():
        if tensor.storage not in storages:
            storages[tensor.storage] = _read_storage(archive, root, tensor.storage)
    arrays = {name: _view(storages[each.storage], each, name) for name, each in content.items()}
    return TorchFile(arrays, layout)


# MARK: what a pickle may build


class _Safe:
    """Base of all that a pickle may build. State is refused on the instance and on the class."""

    def __setstate__(self, state: object) -> None:
        pass


class _Dict(_Safe, dict):
    """Stands for OrderedDict."""


@dataclasses.dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype
    length: int


class _Tensor(_Safe):
    """Stands for a tensor: which numbers of which storage it is made of."""

    def __init__(
        self, storage: object, offset: object, shape: object, strides: object, *_: object
    ) -> None:
        known = isinstance(storage, _Storage) and _is_size(offset)
        if not known or not _are_sizes(shape) or not _are_sizes(strides):
            raise pickle.UnpicklingError("a tensor is described in an unknown way")
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides


class _Parameter(_Safe):
    """Stands for a parameter, which is just its tensor."""

    def __new__(cls, tensor: object, *_: object) -> Any:
        return tensor


class _Inert(_Safe):
    """Stands for anything else: accepts what a pickle can do to an object, and does nothing."""

    origin = ""

    def __init__(self, *_: object) -> None:
        pass

    def __new__(cls, *_: object) -> "_Inert":
        return super().__new__(cls)

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        """Swallows an element."""

    extend = add = append


_STAND_INS = {
    ("collections", "OrderedDict"): _Dict,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch._utils", "_rebuild_parameter"): _Parameter,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Never imports or looks up anything: returns a stand-in for whatever is named."""
        if module == "torch" and name in _DTYPES:
            return name
        stand_in = _STAND_INS.get((module, name))
        return stand_in or type("Inert", (_Inert,), {"origin": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> _Storage:
        """Describes a storage: ("storage", type, key, device, number of elements)."""
        kind, storage_type, key, _, length = pid
        known = isinstance(storage_type, str) and isinstance(key, str)
        if kind != "storage" or not known or not _is_size(length):
            raise pickle.UnpicklingError("a tensor storage is described in an unknown way")
        return _Storage(key, _DTYPES[storage_type], length)


def _is_size(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def _are_sizes(values: object) -> TypeGuard[tuple[int, ...]]:
    return isinstance(values, tuple) and all(map(_is_size, values))


def _check_state_dict(content: object) -> None:
    if not isinstance(content, dict):
        raise ValueError(f"expected a state dict, found {_describe(content)}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, _Tensor):
            raise ValueError(f"{name!r}: expected a tensor, found {_describe(value)}")


def _describe(value: object) -> str:
    if isinstance(value, _Inert):
        return f"an object of {value.origin} (only tensors are read; save a state dict)"
    return f"a {type(value).__name__.strip('_').lower()}"


# MARK: numbers


def _read_storage(archive: zipfile.ZipFile, root: str, storage: _Storage) -> np.ndarray:
    name = f"{root}data/{storage.key}"
    expected, found = storage.length * storage.dtype.itemsize, archive.getinfo(name).file_size
    if expected != found:
        raise ValueError(f"{name}: expected {expected} bytes, found {found}")
    return np.frombuffer(archive.read(name), storage.dtype)


def _view(storage: np.ndarray, tensor: _Tensor, name: str) -> np.ndarray:
    """The tensor as a view of its storage, which it must not leave."""
    reach = sum(
        (size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    empty = math.prod(tensor.shape) == 0
    if not empty and tensor.offset + reach >= storage.size:
        raise ValueError(f"{name}: reaches beyond its storage of {storage.size} elements")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    start = storage[:0] if empty else storage[tensor.offset :]
    return np.lib.stride_tricks.as_strided(start, tensor.shape, strides, writeable=False)
