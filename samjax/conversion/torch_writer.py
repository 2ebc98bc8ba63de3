"""Writing of PyTorch's zip checkpoints, without PyTorch."""

import math
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from samjax.conversion import torch_file

STATE = object()  # Place of the state dict.
# The dict around a state dict: none, SAM-Med2D's, or that of the Medical SAM Adapter (MSA).
FLAT: Mapping[str, Any] = {}
SAM_MED2D: Mapping[str, Any] = {"model": STATE, "optimizer": None}
MSA: Mapping[str, Any] = {"epoch": 0, "model": "sam", "state_dict": STATE, "best_tol": 0.0}


def write(
    path: str | Path,
    tensors: Mapping[str, np.ndarray],
    layout: Mapping[str, Any] = FLAT,
    record: str | None = None,
) -> None:
    """Writes arrays as a `.pth` file that `torch.load(path, weights_only=True)` reads.

    Args:
        path: File to write; it appears only when it is complete.
        tensors: Arrays by their PyTorch names; int64 stays, all others become float32.
        layout: The dict around the state dict, see `FLAT`.
        record: Settings of samjax, as JSON. They are written into the state dict's `_metadata`,
            which PyTorch ignores, and keeps when it loads and saves the state dict.

    Raises:
        OSError: It cannot be written; nothing is left of it.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        with zipfile.ZipFile(partial, "w") as archive:
            archive.writestr("archive/data.pkl", _pickle(tensors, layout, record))
            archive.writestr("archive/byteorder", "little")
            for number, array in enumerate(tensors.values()):
                archive.writestr(
                    f"archive/data/{number}", np.asarray(array, _storage(array)[1]).tobytes()
                )
            archive.writestr("archive/version", "3\n")
        partial.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


def _pickle(
    tensors: Mapping[str, np.ndarray], layout: Mapping[str, Any], record: str | None = None
) -> bytes:
    """Returns the pickle's opcodes; Python's own pickler would have to import torch."""
    items = [
        _literal(name) + _tensor(number, array)
        for number, (name, array) in enumerate(tensors.items())
    ]
    state = _ORDERED + _items(items)
    if record is not None:
        metadata = {torch_file.RECORD: {torch_file.RECORD: record}}  # A dict for each module.
        state += _literal({"_metadata": metadata}) + pickle.BUILD
    if layout:
        state = _dict(
            [
                _literal(name) + (state if value is STATE else _literal(value))
                for name, value in layout.items()
            ]
        )
    return pickle.PROTO + b"\x02" + state + pickle.STOP


def _storage(array: np.ndarray) -> tuple[str, str]:
    """Returns the name of PyTorch's storage for an array, and NumPy's code of its dtype."""
    return ("LongStorage", "<i8") if array.dtype == np.int64 else ("FloatStorage", "<f4")


def _tensor(number: int, array: np.ndarray) -> bytes:
    shape = array.shape
    strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    storage_type = _named("torch", _storage(array)[0])
    place = [_literal(str(number)), _literal("cpu"), _literal(math.prod(shape))]
    storage = _tuple([_literal("storage"), storage_type, *place]) + pickle.BINPERSID
    layout = [_literal(0), _literal(shape), _literal(strides), _literal(False)]
    arguments = _tuple([storage, *layout, _ORDERED])  # It has no hooks.
    return _named("torch._utils", "_rebuild_tensor_v2") + arguments + pickle.REDUCE


def _named(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _tuple(items: list[bytes]) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE


def _dict(items: list[bytes]) -> bytes:
    return pickle.EMPTY_DICT + _items(items)


def _items(items: list[bytes]) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.SETITEMS


def _literal(value: object) -> bytes:
    header, end = 2, -1
    return pickle.dumps(value, protocol=2)[header:end]


_ORDERED = _named("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
