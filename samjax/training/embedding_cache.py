"""Image embeddings of a frozen encoder, computed once for all epochs, and kept for other runs.

Without augmentation an image always has the same embedding. Its head then trains on embeddings read
from disk, which takes a small part of the time of a step.
"""

import dataclasses
import functools
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tqdm import tqdm

from samjax import models, signals
from samjax.data.config import DataConfig
from samjax.data.embeddings import EmbeddingStore
from samjax.data.files import DataError, read_image
from samjax.data.index import Sample
from samjax.data.inputs import Preprocessing, prepare_image
from samjax.models.config import SamConfig
from samjax.models.directory import Model
from samjax.training import sharding

FOLDER = "embeddings"  # In the workdir.
_FORMAT = 1
# Settings that an embedding does not depend on; all others are part of the cache's key.
_NOT_OF_ENCODER = (
    *("head", "mask_in_chans", "decoder_depth", "decoder_heads", "decoder_mlp_dim"),
    *("iou_head_hidden_dim", "num_multimask", "two_way", "remat"),
)
_NOT_OF_IMAGES = ("mask_prompt", "coordinates", "multimask", "box_margin", "point_prompts")

_log = logging.getLogger(__name__)


def embedding_cache(
    model: Model, config: DataConfig, samples: Sequence[Sample], workdir: Path
) -> "EmbeddingCache | None":
    """Returns the cache of a run, if it has one; arguments as of `EmbeddingCache`."""
    if not config.cache_embeddings:
        return None
    return EmbeddingCache(model, config, [sample.image for sample in samples], workdir)


class EmbeddingCache:
    """The embeddings of the training images of a run."""

    def __init__(
        self, model: Model, config: DataConfig, images: Sequence[str], workdir: Path
    ) -> None:
        """Finds the place of every image's embedding; computes none.

        Args:
            model: The network; its encoder is frozen.
            config: Settings of the data; `root` is the folder of the images.
            images: Paths of the images in it.
            workdir: Folder of the run.

        Raises:
            DataError: An image cannot be read, and `on_bad` is `error`.
        """
        self._config, self._model = config, model
        self._settings = settings(model)
        key = hashlib.blake2b(json.dumps(self._settings).encode(), digest_size=8).hexdigest()
        grid, width = model.config.grid_size, model.config.prompt_dim
        folder = Path(config.cache_dir) if config.cache_dir else workdir / FOLDER
        self._store = EmbeddingStore(folder / key, (grid, grid, width), model.config.dtype)
        with ThreadPoolExecutor(config.threads) as pool:
            self._paths = dict(zip(images, pool.map(self._path, images), strict=True))

    def load(self, image: str) -> np.ndarray:
        """Reads the embedding of an image.

        Raises:
            DataError: There is none, or it is damaged.
        """
        path = self._paths[image]
        if path is None:
            raise DataError(f"{Path(self._config.root) / image}: cannot be read")
        return self._store.read(path)

    def fill(self, done: int, total: int) -> None:
        """Computes the embeddings that are missing or damaged; after a stop, a later call goes on.

        Args:
            done: Steps of the run that are done.
            total: Steps of the run.

        Raises:
            DataError: An image cannot be used, and `on_bad` is `error`.
            ValueError: The cache's folder holds something else.
            OSError: It cannot be written, or there is too little room.
            Interrupted: A stop was requested; what is computed is saved.
        """
        with sharding.first_process_first():
            self._store.open(self._settings)
        files = {path: image for image, path in self._paths.items() if path is not None}
        with ThreadPoolExecutor(self._config.threads) as pool:
            held = pool.map(self._store.holds, files)
            absent = [path for path, is_held in zip(files, held, strict=True) if not is_held]
        sharding.agree(False)  # All have looked before one writes.
        found = f"{len(files) - len(absent)} of {len(files)}"
        _log.info("%s: found embeddings of %s images", self._store.folder, found)
        self._store.check_space(len(absent))
        own = absent[jax.process_index() :: jax.process_count()]
        with signals.graceful_stop() as stop:
            if own:
                self._compute({path: files[path] for path in own}, stop)
            if sharding.agree(stop()):  # And all have written before one reads.
                raise signals.Interrupted(done, total)
        self._model = dataclasses.replace(self._model, params={})

    def _compute(self, files: dict[Path, str], stop: Callable[[], bool]) -> None:
        """Computes and writes embeddings; while a batch is computed, the next one is read."""
        encode = _encoder(self._model)
        size = max(self._config.batch_size // jax.process_count(), 1)
        size = -(-size // jax.local_device_count()) * jax.local_device_count()
        bar = tqdm(desc="embedding", total=len(files), unit="image", disable=None)
        with ThreadPoolExecutor(self._config.threads) as pool, bar:

            def write(paths: list[Path], embeddings: jax.Array) -> None:
                rows = np.asarray(embeddings)[: len(paths)]
                list(pool.map(self._store.write, paths, rows))
                bar.update(len(paths))

            pending = None
            listed = list(files)
            for start in range(0, len(listed), size):
                if stop():
                    break
                paths = listed[start : start + size]
                images = pool.map(self._image, [files[path] for path in paths])
                read = [(p, i) for p, i in zip(paths, images, strict=True) if i is not None]
                if not read:
                    continue
                batch = np.stack([read[min(n, len(read) - 1)][1] for n in range(size)])
                embedded = encode(batch)
                if pending:
                    write(*pending)
                pending = [path for path, _ in read], embedded
            if pending:
                write(*pending)

    def _path(self, image: str) -> Path | None:
        try:
            return self._store.path_of(Path(self._config.root) / image)
        except DataError:
            if self._config.on_bad == "error":
                raise
            return None

    def _image(self, image: str) -> np.ndarray | None:
        """Returns a prepared image; None if it cannot be used and that is allowed."""
        try:
            pixels, order = read_image(Path(self._config.root) / image)
        except DataError as error:
            if self._config.on_bad == "error":
                raise
            _log.warning("skipped: %s", error)
            return None
        size, preprocessing = self._model.config.image_size, self._model.preprocessing
        return prepare_image(pixels, size, preprocessing, order)[0]


def settings(model: Model) -> dict[str, Any]:
    """Returns everything that embeddings depend on beside the images: the key of a cache."""
    weights = hashlib.blake2b(digest_size=8)
    for path, leaf in models.named_leaves(model.params["image_encoder"]):
        weights.update(f"{path} {leaf.shape}".encode())
        weights.update(np.ascontiguousarray(leaf).data)
    return {
        "format": _FORMAT,
        "model": _without(model.config, _NOT_OF_ENCODER),
        "preprocessing": _without(model.preprocessing, _NOT_OF_IMAGES),
        "weights": weights.hexdigest(),
    }


def _without(config: SamConfig | Preprocessing, names: Sequence[str]) -> dict[str, Any]:
    return {k: v for k, v in dataclasses.asdict(config).items() if k not in names}


def _encoder(model: Model) -> Callable[[np.ndarray], jax.Array]:
    """Returns a function that encodes images on all devices of this process."""
    mesh = Mesh(np.array(jax.local_devices()), ("data",))
    params = {"image_encoder": model.params["image_encoder"]}
    params = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    encode = jax.jit(functools.partial(models.encode_image, model.config), out_shardings=rows)
    return lambda images: encode(params, jax.device_put(images, rows))
