"""Reading of PyTorch's zip checkpoints, without PyTorch and without running their content.

A `.pth` file is a zip archive: one pickle that describes nested objects, and one raw file for each
tensor storage. A pickle is a program that may call anything it can name, so nothing it names is
ever looked up here. Tensors become descriptions of where their numbers lie. Every other class or
function becomes an inert object that accepts any operation and does nothing.
"""

import dataclasses
import io
import math
import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any, TypeGuard

import jax.numpy as jnp
import numpy as np

from samjax.conversion import file_kinds, wrappers

RECORD = "samjax"  # Key of samjax's own settings in a state dict's `_metadata`.
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
_STORES = ("PUT", "BINPUT", "LONG_BINPUT")  # Opcodes that reserve memory up to their argument.
_SHARING = 2  # Largest size of all tensors over that of their storages.
# Errors that a damaged or hostile archive or pickle can raise.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
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
        layout: The keys of the outermost dict where it held the state dict under one of them;
            empty where the file is the state dict itself.
        under: The keys that the state dict lies under, from the outermost in.
        beside: Reasons why other entries of those dicts are ignored, by key.
        record: Settings that samjax wrote into the file, as JSON; None in others' files.
        notes: Further remarks on the reading of the file.
    """

    tensors: dict[str, np.ndarray]
    layout: tuple[str, ...]
    under: tuple[str, ...] = ()
    beside: dict[str, str] = dataclasses.field(default_factory=dict)
    record: str | None = None
    notes: tuple[str, ...] = ()


def read(path: str | Path) -> TorchFile:
    """Reads the state dict of a `.pth`, `.pt`, `.ckpt` or `.bin` file, flat or under a known key.

    Only the tensors of the state dict are read: an optimizer beside it costs nothing, and other
    content of the file is never run. Declared sizes are compared with the file before memory is
    reserved.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, of PyTorch's format from before version 1.6, or holds no state
            dict of tensors; the message names the file.
    """
    path = Path(path)
    if file_kinds.kind(path) != "torch":
        raise ValueError(f"{path}: expected a PyTorch checkpoint, found a safetensors file")
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive, path.stat().st_size)
    except _DAMAGE as error:
        raise ValueError(f"{path}: not a readable PyTorch checkpoint: {error}") from error


def _read_archive(archive: zipfile.ZipFile, size: int) -> TorchFile:
    names = archive.namelist()
    pickles = [name for name in names if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        held = ", ".join(names[:3]) or "nothing"
        raise ValueError(f"expected one data.pkl, found {len(pickles)} (it holds {held})")
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in names:
        raise ValueError("expected a state dict, found a TorchScript program; save its state_dict")
    _check_stored(archive, size)
    if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
        raise ValueError("expected little-endian numbers")
    content = _unpickle(archive.read(pickles[0]))
    if not isinstance(content, dict):
        raise ValueError(f"expected a state dict, found {_describe(content)}")
    state, under, beside = wrappers.unwrap(content)
    described, others = _tensors(state)
    storages: dict[_Storage, np.ndarray] = {}
    for tensor in described.values():
        if tensor.storage not in storages:
            storages[tensor.storage] = _read_storage(archive, root, tensor.storage)
    _check_sharing(described, storages)
    arrays = {name: _view(storages[each.storage], each, name) for name, each in described.items()}
    layout = tuple(str(key) for key in content if isinstance(key, str)) if under else ()
    record = state.record if isinstance(state, _Dict) else None
    return TorchFile(arrays, layout, under, beside | others, record)


def _check_stored(archive: zipfile.ZipFile, size: int) -> None:
    """Checks that no entry is compressed, so that reading makes no more than the file holds."""
    for entry in archive.infolist():
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError(
                f"{entry.filename}: expected an entry that is not compressed, as torch.save "
                "writes it, found a compressed one; unpack and write it again with torch.save"
            )
    declared = sum(entry.file_size for entry in archive.infolist())
    if declared > size:
        raise ValueError(f"expected entries of at most {size} bytes in all, found {declared}")


def _unpickle(content: bytes) -> object:
    """Builds the pickle's objects, after a check that no opcode reserves too much memory."""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in _STORES and int(argument or 0) > len(content):
            raise ValueError(
                f"expected at most {len(content)} objects in a pickle of {len(content)} bytes, "
                f"found place {argument}"
            )
    return _Unpickler(io.BytesIO(content)).load()


# MARK: what a pickle may build


class _Safe:
    """Base of all classes that a pickle may build; ignores state on instance and class."""

    def __setstate__(self, state: object) -> None:
        pass


class _Dict(_Safe, dict):
    """Stands for OrderedDict; keeps only samjax's settings of its state, if they are text."""

    record: str | None = None

    def __setstate__(self, state: object) -> None:
        for key in ("_metadata", RECORD, RECORD):
            state = state.get(key) if isinstance(state, dict) else None
        self.record = state if isinstance(state, str) else None


@dataclasses.dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype
    length: int


class _Tensor(_Safe):
    """Stands for a tensor: its storage, and its place in it."""

    def __init__(
        self, storage: object, offset: object, shape: object, strides: object, *_: object
    ) -> None:
        known = isinstance(storage, _Storage) and _is_size(offset)
        if not known or not _are_sizes(shape) or not _are_sizes(strides):
            raise pickle.UnpicklingError("a tensor is described in an unknown way")
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides


class _Parameter(_Safe):
    """Stands for a parameter: returns its tensor."""

    def __new__(cls, tensor: object, *_: object) -> Any:
        return tensor


class _Inert(_Safe):
    """Stands for any other object: accepts all operations of a pickle, and does nothing."""

    origin = ""

    def __init__(self, *_: object) -> None:
        pass

    def __new__(cls, *_: object) -> "_Inert":
        return super().__new__(cls)

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        """Ignores an element."""

    extend = add = append


_STAND_INS = {
    ("collections", "OrderedDict"): _Dict,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch._utils", "_rebuild_parameter"): _Parameter,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Returns a stand-in for any class or function; imports and looks up nothing."""
        if module == "torch" and name in _DTYPES:
            return name
        stand_in = _STAND_INS.get((module, name))
        return stand_in or type("Inert", (_Inert,), {"origin": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> _Storage:
        """Returns the storage that ("storage", type, key, device, number of elements) describes."""
        kind, storage_type, key, _, length = pid
        known = isinstance(storage_type, str) and isinstance(key, str)
        if kind != "storage" or not known or not _is_size(length):
            raise pickle.UnpicklingError("a tensor storage is described in an unknown way")
        return _Storage(key, _DTYPES[storage_type], length)


def _is_size(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def _are_sizes(values: object) -> TypeGuard[tuple[int, ...]]:
    return isinstance(values, tuple) and all(map(_is_size, values))


def _tensors(state: dict[Any, Any]) -> tuple[dict[str, _Tensor], dict[str, str]]:
    """Returns the tensors of a state dict, and descriptions of its other entries.

    Raises:
        ValueError: There is no tensor among them.
    """
    tensors = {
        name: value
        for name, value in state.items()
        if isinstance(name, str) and isinstance(value, _Tensor)
    }
    if state and not tensors:
        name, value = next(iter(state.items()))
        key = repr(name) if isinstance(name, str) else f"a key that is {_describe(name)}"
        raise ValueError(
            f"{key}: expected a tensor, found {_describe(value)}; "
            + wrappers.unknown_layout(state, _describe)
        )
    others = {
        str(name)
        if isinstance(name, str | int)
        else _describe(name): f"{_describe(value)}, no tensor"
        for name, value in state.items()
        if name not in tensors
    }
    return tensors, others


def _describe(value: object) -> str:
    if isinstance(value, _Inert):
        return f"an object of {value.origin} (only tensors are read; save a state dict)"
    if isinstance(value, dict):
        inside = sum(isinstance(each, _Tensor) for each in value.values())
        return f"a dict of {len(value)}" + (f", {inside} of them tensors" if inside else "")
    return f"a {type(value).__name__.strip('_').lower()}"


# MARK: numbers


def _read_storage(archive: zipfile.ZipFile, root: str, storage: _Storage) -> np.ndarray:
    name = f"{root}data/{storage.key}"
    expected, found = storage.length * storage.dtype.itemsize, archive.getinfo(name).file_size
    if expected != found:
        raise ValueError(f"{name}: expected {expected} bytes, found {found}")
    return np.frombuffer(archive.read(name), storage.dtype)


def _check_sharing(tensors: dict[str, _Tensor], storages: dict[_Storage, np.ndarray]) -> None:
    """Checks that tensors which share storages are together not much larger than these."""
    for name, each in tensors.items():
        count = math.prod(each.shape)
        if count > each.storage.length:
            raise ValueError(
                f"{name}: expected at most the {each.storage.length} elements of its storage, "
                f"found shape {each.shape}"
            )
    available = sum(array.nbytes for array in storages.values())
    total = sum(math.prod(each.shape) * each.storage.dtype.itemsize for each in tensors.values())
    if total > _SHARING * available:
        raise ValueError(f"expected tensors of about {available} bytes in all, found {total}")


def _view(storage: np.ndarray, tensor: _Tensor, name: str) -> np.ndarray:
    """Returns the tensor as a view of its storage.

    Raises:
        ValueError: It reaches beyond the storage.
    """
    reach = sum(
        (size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    empty = math.prod(tensor.shape) == 0
    if not empty and tensor.offset + reach >= storage.size:
        raise ValueError(f"{name}: reaches beyond its storage of {storage.size} elements")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    start = storage[:0] if empty else storage[tensor.offset :]
    return np.lib.stride_tricks.as_strided(start, tensor.shape, strides, writeable=False)
