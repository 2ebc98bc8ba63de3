"""Store of image embeddings on disk: one file for each image, found by the image's contents.

A folder holds embeddings of one encoder and preprocessing; `config.json` in it says which. Files
appear only when they are whole, and begin with a digest of the rest.
"""

import dataclasses
import hashlib
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from samjax.data import fingerprint
from samjax.data.files import DataError, write_whole

SETTINGS = "config.json"
_DIGEST = 16  # Bytes before the array.


@dataclasses.dataclass(frozen=True)
class EmbeddingStore:
    """Embeddings of one encoder and preprocessing.

    Attributes:
        folder: Their folder.
        shape: Shape of an embedding.
        dtype: Its type, `float32` or `bfloat16`.
    """

    folder: Path
    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes_each(self) -> int:
        """Size of one embedding."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def open(self, settings: dict[str, Any]) -> None:
        """Makes the folder, or checks that it is of the same settings.

        Raises:
            ValueError: It holds other files, or embeddings of other settings.
            OSError: It cannot be made.
        """
        path, content = self.folder / SETTINGS, json.dumps(settings, indent=2) + "\n"
        if path.is_file():
            if path.read_text(errors="replace") != content:
                raise ValueError(
                    f"{path}: expected the settings that gave the folder its name, found others; "
                    "delete the folder, or set another data.cache_dir"
                )
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise ValueError(
                f"{self.folder}: expected embeddings with a {SETTINGS}, found files without; "
                "set another data.cache_dir"
            )
        else:
            write_whole(path, content.encode())

    def check_space(self, count: int) -> None:
        """Checks that the disk has room for `count` more embeddings.

        Raises:
            OSError: There is too little.
        """
        needed, free = count * self.bytes_each, shutil.disk_usage(self.folder).free
        if free < needed:
            raise OSError(
                f"{self.folder}: expected room for {count} embeddings of {needed / 1e6:,.0f} MB, "
                f"found {free / 1e6:,.0f} MB free; data.cache_embeddings=False does without"
            )

    def path_of(self, image: str | os.PathLike[str]) -> Path:
        """Returns the file of an image's embedding, by the contents of the image's file.

        Raises:
            DataError: The image cannot be read.
        """
        try:
            content = Path(image).read_bytes()
        except OSError as error:
            raise DataError(f"{image}: cannot be read: {error.strerror}") from error
        return self.folder / f"{fingerprint.of_bytes(content)}.npy"

    def write(self, path: Path, embedding: np.ndarray) -> None:
        """Writes an embedding; the file appears only when it is whole.

        Raises:
            OSError: It cannot be written.
        """
        buffer = io.BytesIO()
        bits = embedding.view(np.uint16) if self.dtype == "bfloat16" else embedding
        np.save(buffer, bits, allow_pickle=False)
        content = buffer.getvalue()
        write_whole(path, _digest(content) + content)

    def read(self, path: Path) -> np.ndarray:
        """Reads an embedding.

        Raises:
            DataError: It is missing, damaged or of another shape or type.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: expected an embedding: {error.strerror}") from error
        digest, array = content[:_DIGEST], content[_DIGEST:]
        if digest != _digest(array):
            raise DataError(
                f"{path}: expected the bytes that were written, found others; delete the file, the "
                "next start of a run makes it again"
            )
        embedding = np.load(io.BytesIO(array), allow_pickle=False)
        if self.dtype == "bfloat16":
            embedding = embedding.view(ml_dtypes.bfloat16)
        if (embedding.shape, embedding.dtype) != (self.shape, np.dtype(self.dtype)):
            raise DataError(
                f"{path}: expected {self.shape} {self.dtype}, found {embedding.shape} "
                f"{embedding.dtype}"
            )
        return embedding

    def holds(self, path: Path) -> bool:
        """Whether there is an embedding, undamaged."""
        try:
            self.read(path)
        except DataError:
            return False
        return True


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST).digest()
