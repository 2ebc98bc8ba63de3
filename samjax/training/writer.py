"""What a run writes while it goes: `metrics.jsonl`, TensorBoard events and pictures."""

import json
from pathlib import Path

import numpy as np
from tensorboardX import SummaryWriter

from samjax import drawing
from samjax.data.files import write_whole


class Writer:
    """Writes scalars and pictures of a run; a resumed run continues without doubled rows."""

    def __init__(self, workdir: str | Path, step: int) -> None:
        """Opens the logs in `workdir`, and drops what was logged after `step`."""
        self._workdir = Path(workdir)
        self._jsonl = self._workdir / "metrics.jsonl"
        self._drop_after(step)
        self._tensorboard = SummaryWriter(str(self._workdir / "tensorboard"), purge_step=step + 1)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Logs numbers of one step."""
        row = {"step": step, **values}
        try:
            with self._jsonl.open("a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:  # Where a disk is full, the error names no file.
            raise OSError(f"{self._jsonl}: cannot be written: {error.strerror}") from error
        for name, value in values.items():
            self._tensorboard.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Logs an (h, w, 3) uint8 RGB picture, also as `pictures/NAME_STEP.png`."""
        path = self._workdir / "pictures" / f"{name}_{step:06d}.png"
        write_whole(path, drawing.encode_png(image))
        self._tensorboard.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Writes out what is pending."""
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
