"""Writes a data folder with its images and masks in ArrayRecord files.

Millions of small files are slow to copy, to list and to open; a few large ones are not. TensorFlow
Datasets writes and reads them, without TensorFlow. The result is a data folder like any other:
the indexes and tables are beside the records, and `samjax.data.files` finds the bytes of a path in
them (`samjax.data.record_reader`), so that training, evaluation and checks work as before.

Pixels do not change, but are encoded as Netpbm, which is decoded many times faster than PNG;
ArrayRecord compresses it.
"""

import contextlib
import functools
import io
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from samjax.data import index, metadata, record_reader
from samjax.data.files import DataError, read_image, read_mask

NAME, VERSION = "scans", "1.0.0"
RECORDS_PER_FILE = 2048  # Some hundred megabytes.
_TABLES = (metadata.TABLE, metadata.MANIFEST, metadata.CLASSES)


def write_records(root: str | os.PathLike[str], out: Path, splits: Sequence[str]) -> Path:
    """Writes a data folder into records, one for each image, in the order of its index.

    Args:
        root: The data folder.
        out: Folder to write below.
        splits: Splits to write.

    Returns:
        The folder of the records: a data folder itself.

    Raises:
        DataError: A split has no index, or a file cannot be used; nothing is written then.
        OSError: The folder cannot be written; nothing of it stays.
    """
    from tensorflow_datasets import core

    samples = {split: index.load_index(root, split) for split in splits}
    target = out / NAME / VERSION
    if target.exists():
        raise DataError(f"{target}: expected no records yet, found some")
    partial = out / f"{NAME}.partial"
    shutil.rmtree(partial, ignore_errors=True)  # Left by a run that was killed.
    options = {"data_dir": str(partial), "file_format": "array_record"}
    config = core.download.DownloadConfig(compute_stats=core.download.ComputeStatsMode.SKIP)
    try:
        partial.mkdir(parents=True)
        builder = _builder_class()(Path(root), samples, **options)
        # TFDS prints that it downloads something, which is not true.
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(download_config=config)
        made = partial / NAME / VERSION
        for split, of_split in samples.items():
            index.write_index(made / f"image2label_{split}.json", of_split)
        for table in _TABLES:
            if (Path(root) / table).exists():
                shutil.copyfile(Path(root) / table, made / table)
        _write_lookup(made, samples)  # Last: the lookup marks the folder as complete.
        target.parent.mkdir(exist_ok=True)
        made.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _encode(root: Path, sample: index.Sample) -> tuple[bytes, list[bytes]]:
    """Encodes an image and its masks.

    Raises:
        DataError: A file cannot be read, or a mask has another shape than its image.
    """
    pixels, _ = read_image(
        root / sample.image
    )  # In OpenCV's channel order, which `imencode` takes.
    _, image = cv2.imencode(".ppm" if pixels.ndim == 3 else ".pgm", pixels)
    masks = []
    for path in sample.masks:
        mask = read_mask(root / path)
        if mask.shape != pixels.shape[:2]:
            raise DataError(
                f"{root / path}: expected a mask of the image's shape {pixels.shape[:2]}, "
                f"found {mask.shape}"
            )
        _, data = cv2.imencode(".pbm", mask * np.uint8(255))  # One bit a pixel.
        masks.append(data.tobytes())
    return image.tobytes(), masks


def _write_lookup(target: Path, samples: dict[str, list[index.Sample]]) -> None:
    """Writes the table from paths to records, as sorted hashes: small for millions of paths."""
    hashes, splits, numbers = [], [], []
    for split, of_split in enumerate(samples.values()):
        for number, sample in enumerate(of_split):
            for path in (sample.image, *sample.masks):
                hashes.append(record_reader.hash_path(path))
                splits.append(split)
                numbers.append(number)
    order = np.argsort(np.array(hashes, np.uint64))
    partial = target / ("partial_" + record_reader.LOOKUP)
    np.savez(
        partial,
        hashes=np.array(hashes, np.uint64)[order],
        splits=np.array(splits, np.uint8)[order],
        numbers=np.array(numbers, np.uint32)[order],
        names=np.array([*samples]),
    )
    partial.replace(target / record_reader.LOOKUP)


@functools.cache
def _builder_class() -> type:
    """Returns the builder class; made on first use, since importing TFDS takes a second."""
    import tensorflow_datasets as tfds

    class Scans(tfds.core.GeneratorBasedBuilder):
        """Images with their masks, encoded as Netpbm."""

        VERSION = tfds.core.Version(VERSION)

        def __init__(
            self, root: Path, samples: dict[str, list[index.Sample]], **options: Any
        ) -> None:
            self._root, self._samples = root, samples
            super().__init__(**options)

        def _info(self) -> tfds.core.DatasetInfo:
            encoded = tfds.features.Text()  # Any bytes.
            features = tfds.features.FeaturesDict(
                {
                    "image": encoded,
                    "image_name": encoded,
                    "masks": tfds.features.Sequence(encoded),
                    "mask_names": tfds.features.Sequence(encoded),
                }
            )
            return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

        def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
            del dl_manager
            return {split: self._generate_examples(split) for split in self._samples}

        def _download_and_prepare(self, dl_manager: Any, download_config: Any) -> None:
            """Writes the records one by one.

            The default of TFDS holds up to a gigabyte in memory, and beyond that needs TensorFlow.
            """
            del download_config
            info = self._info()  # Its folder is renamed to the final one when all is written.
            writer = tfds.core.SequentialWriter(info, RECORDS_PER_FILE, file_format="array_record")
            writer.initialize_splits([*self._samples])
            for split, examples in self._split_generators(dl_manager).items():
                writer.add_examples({split: (example for _, example in examples)})
            writer.close_all()
            self.info.set_splits(info.splits)

        def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
            bar = tqdm(self._samples[split], desc=split, unit="image", disable=None)
            for number, sample in enumerate(bar):
                image, masks = _encode(self._root, sample)
                names = {"image_name": sample.image, "mask_names": [*sample.masks]}
                yield number, {"image": image, "masks": masks, **names}

    return Scans
