"""Logs of a run: `metrics.jsonl`, TensorBoard events and pictures."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX import summary
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import RecordWriter

from samjax import visualization
from samjax.data.files import write_whole

_protocol: Any = event_pb2  # Its classes are made when it is imported.
_FLUSH = 30  # Seconds between writes of the TensorBoard events.


class Writer:
    """Writer of scalars and pictures; a resumed run continues without duplicate rows.

    Its methods raise an OSError that names the file if it cannot be written.
    """

    def __init__(self, workdir: str | Path, step: int) -> None:
        """Opens the logs in `workdir`, and removes rows after `step`."""
        self._workdir = Path(workdir)
        self._jsonl = self._workdir / "metrics.jsonl"
        with _named(self._jsonl):
            self._drop_after(step)
        self._tensorboard = _Events(self._workdir / "tensorboard", step + 1)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Logs scalars of a step."""
        row = {"step": step, **values}
        with _named(self._jsonl), self._jsonl.open("a") as file:
            file.write(json.dumps(row) + "\n")
        for name, value in values.items():
            self._tensorboard.add(step, summary=summary.scalar(name, value))

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Logs an (h, w, 3) uint8 RGB picture to TensorBoard and `pictures/NAME_STEP.png`."""
        path = self._workdir / "pictures" / f"{name}_{step:06d}.png"
        with _named(path):
            write_whole(path, visualization.encode_png(image))
        self._tensorboard.add(step, summary=summary.image(name, image, dataformats="HWC"))

    def close(self) -> None:
        """Writes pending events and closes the files."""
        self._tensorboard.close()

    def _drop_after(self, step: int) -> None:
        if not self._jsonl.exists():
            return
        kept = []
        for line in self._jsonl.read_text().splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:  # A run killed while writing leaves half a line.
                continue
            if row["step"] <= step:
                kept.append(line + "\n")
        write_whole(self._jsonl, "".join(kept).encode())


class _Events:
    """File of TensorBoard events, written in the calling thread.

    tensorboardX writes in a thread of its own. If the disk is full, that thread ends, and the
    training waits for it for ever.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}"
        self._path = folder / name
        self._flushed = time.monotonic()
        with _named(self._path):
            self._file = RecordWriter(str(self._path))
        self.add(first_step, file_version="brain.Event:2")
        # TensorBoard hides events of an earlier start from this step on.
        log = _protocol.SessionLog(status=_protocol.SessionLog.START)
        self.add(first_step, session_log=log)

    def add(self, step: int, **content: Any) -> None:
        event = _protocol.Event(wall_time=time.time(), step=step, **content)
        with _named(self._path):
            self._file.write(event.SerializeToString())
            if time.monotonic() - self._flushed > _FLUSH:
                self._file.flush()
                self._flushed = time.monotonic()

    def close(self) -> None:
        with _named(self._path):
            self._file.close()


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Adds the path to an OSError: that of a full disk has none."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{path}: cannot be written: {error.strerror or error}") from error
