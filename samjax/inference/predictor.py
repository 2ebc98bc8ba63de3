"""Interactive prediction with the contract of SAM's own `SamPredictor`."""

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from samjax import conversion, masks
from samjax.inference import batch
from samjax.inference.object_prompt import ObjectPrompt, as_numbers
from samjax.models.config import Dtype
from samjax.models.directory import Model

_log = logging.getLogger(__name__)


# Arguments of `predict`: field of `ObjectPrompt`, shape and rank for one object.
_ARGUMENTS = {
    "point_coords": ("points", "(N, 2)", 2),
    "point_labels": ("labels", "(N,)", 1),
    "box": ("box", "(4,)", 1),
    "mask_input": ("mask", "(1, m, m)", 3),
}

_DTYPES: dict[str, Dtype] = {
    "float32": "float32",
    "f32": "float32",
    "fp32": "float32",
    "float": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
}


class Predictor:
    """Encodes an image once, then answers prompts about it.

    Coordinates are (x, y) in pixels of the original image. Whatever the prompts, after the first
    few calls nothing is compiled any more.

    Attributes:
        model: The network, with its parameters on the device.
        adapters: Whether the adapters take part, if the network has any.
        mask_threshold: A pixel is foreground where its logit is above this.
    """

    mask_threshold = masks.THRESHOLD

    def __init__(self, model: Model, adapters: bool = True):
        params = jax.device_put(model.params)
        self.model = dataclasses.replace(model, params=params)
        self.adapters = adapters
        self._warned_about_points = model.preprocessing.knows_points
        self._embedded: batch.ImageEmbeddings | None = None

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        image_size: int | None = None,
        adapters: bool = True,
        dtype: DTypeLike | None = None,
        *,
        family: str | None = None,
        preprocessing_overrides: Mapping[str, Any] | None = None,
        allow_non_finite: bool = False,
    ) -> "Predictor":
        """Loads a network.

        Args:
            path: A samjax model directory, a PyTorch `.pth` file or Hugging Face `.safetensors`.
            image_size: Side of the network's input; by default the checkpoint's own.
            adapters: False drops the adapters (SAM-Med2D* in the paper).
            dtype: `float32` or `bfloat16` compute, as NumPy, JAX or PyTorch spell it (`bf16` and
                `torch.bfloat16`, too); by default the checkpoint's own.
            family: Prepare images as this family's, such as `sam`; by default as the checkpoint
                says, or as what it looks like (a warning tells where that is a guess).
            preprocessing_overrides: Fields of `samjax.data.inputs.Preprocessing` to set otherwise.
            allow_non_finite: Take weights that are NaN or infinite.

        Raises:
            FileNotFoundError: There is no such file or directory.
            ValueError: It is no checkpoint, or cannot work at this size or in this type.
        """
        name = None if dtype is None else _dtype_name(dtype)
        if image_size is not None and not isinstance(image_size, int | np.integer):
            raise ValueError(f"image_size: expected a whole number, found {image_size!r}")
        model = conversion.load_or_convert(
            path,
            image_size,
            family=family,
            preprocessing_overrides=preprocessing_overrides,
            allow_non_finite=allow_non_finite,
        )
        if name is not None:
            config = dataclasses.replace(model.config, dtype=name)
            model = dataclasses.replace(model, config=config)
        return cls(model, adapters)

    def set_image(self, image: batch.ImageLike, image_format: str = "RGB") -> None:
        """Encodes the image that the next calls of `predict` are about.

        Args:
            image: uint8, (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), any size; or a PIL image of
                8 bits and any mode, which is converted.
            image_format: Channel order of a colour array, `RGB` or `BGR`.

        Raises:
            ValueError: The image is not of this type or shape.
        """
        self.set_image_batch([image], image_format)

    def set_image_batch(self, images: Sequence[batch.ImageLike], image_format: str = "RGB") -> None:
        """As `set_image`, for `predict_batch`."""
        self.reset_image()
        self._embedded = batch.embed_images(
            self.model, images, adapters=self.adapters, image_format=image_format
        )

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool | None = None,
        return_logits: bool = False,
        best: bool = False,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Segments one object, or K at once; every kind of prompt may be combined with any other.

        Args:
            point_coords: Clicks (x, y), shape (N, 2), or (K, N, 2) for K objects.
            point_labels: 1 for a click on the object, 0 beside it, -1 for "not a point", which
                fills up rows of K objects; shape (N,) or (K, N).
            box: (x0, y0, x1, y1), shape (4,) or (K, 4).
            mask_input: Low-resolution logits of an earlier call, shape (1, m, m) or (K, 1, m, m).
            multimask_output: Three masks of an object, or one. Three suit ambiguous prompts such
                as a single click: take the one with the highest score. None: as the network was
                trained, three unless it is LiteMedSAM.
            return_logits: Logits instead of boolean masks.
            best: Of three masks only the one with the highest score: less to compute.

        Returns:
            Masks (C, H, W) at the image's size, their predicted IoU (C,), and their
            low-resolution logits (C, m, m); with a leading K if the prompts have one. C is 3,
            or 1.

        Raises:
            RuntimeError: No image is set, or several are.
            ValueError: A prompt has the wrong shape or values.
        """
        if len(self._images().placements) != 1:
            raise RuntimeError("several images are set: call predict_batch, or set_image first")
        objects, several = _objects(
            {
                "point_coords": point_coords,
                "point_labels": point_labels,
                "box": box,
                "mask_input": mask_input,
            }
        )
        (result,) = self.predict_batch([objects], multimask_output, return_logits, best)
        if several:
            return result.masks, result.scores, result.low_res
        return result.masks[0], result.scores[0], result.low_res[0]

    def predict_batch(
        self,
        prompts: Sequence[Sequence[ObjectPrompt]],
        multimask_output: bool | None = None,
        return_logits: bool = False,
        best: bool = False,
    ) -> list[batch.SegmentationResult]:
        """Segments objects in the images of `set_image_batch`; one list of prompts per image.

        Raises:
            RuntimeError: No image is set.
            ValueError: A prompt has the wrong shape or values.
        """
        found = batch.segment_embedded(
            self.model,
            self._images(),
            prompts,
            multimask=multimask_output,
            best=best,
            return_logits=return_logits,
        )
        self._warn_about_points(one for objects in prompts for one in objects)
        return found

    def iter_predictions(
        self,
        prompts: Sequence[ObjectPrompt],
        multimask_output: bool | None = None,
        all_masks: bool = False,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Segments many objects of one image, in memory that does not grow with their number.

        Args:
            prompts: The objects.
            multimask_output: Three masks of an object, or one; None: as the network was trained.
            all_masks: Gives all masks of an object, not just the one with the highest score.

        Returns:
            An iterator over the objects' masks (C, H, W) and the scores of all of them.

        Raises:
            RuntimeError: No image is set.
            ValueError: A prompt has the wrong shape or values.
        """
        found = batch.iter_masks(
            self.model, self._images(), prompts, multimask=multimask_output, all_masks=all_masks
        )
        self._warn_about_points(prompts)
        return found

    def reset_image(self) -> None:
        """Forgets the image."""
        self._embedded = None

    @property
    def is_image_set(self) -> bool:
        """Whether there is an image to predict on."""
        return self._embedded is not None

    @property
    def features(self) -> jax.Array:
        """The image's embedding as samjax keeps it, (1, g, g, c)."""
        embedded = self._images()
        return embedded.features.embedding[: len(embedded.placements)]

    def get_image_embedding(self) -> np.ndarray:
        """The image's embedding as SAM gives it, (1, c, g, g) float32."""
        return np.asarray(self.features, np.float32).transpose(0, 3, 1, 2)

    @property
    def original_size(self) -> tuple[int, int]:
        """Height and width of the image."""
        placement = self._images().placements[0]
        return placement.height, placement.width

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the image within the network's input, padding not counted."""
        placement = self._images().placements[0]
        return placement.inner_height, placement.inner_width

    def _warn_about_points(self, prompts: Iterable[ObjectPrompt]) -> None:
        """Says once that points mean little to a network that knows boxes alone."""
        if not self._warned_about_points and any(len(one.clicks) for one in prompts):
            _log.warning(
                "points: this model knows boxes alone (preprocessing.point_prompts): their masks "
                "mean little"
            )
            self._warned_about_points = True

    def _images(self) -> batch.ImageEmbeddings:
        if self._embedded is None:
            raise RuntimeError("no image is set: call set_image first")
        return self._embedded


def _dtype_name(dtype: object) -> Dtype:
    """`float32` or `bfloat16`, from the usual spellings of either."""
    try:
        name = np.dtype(dtype).name  # pyrefly: ignore[no-matching-overload]
    except TypeError:
        name = str(dtype)
    known = _DTYPES.get(name.removeprefix("torch.").lower())
    if known is None:
        raise ValueError(f"dtype: expected float32 or bfloat16, found {dtype!r}")
    return known


def _objects(arrays: dict[str, ArrayLike | None]) -> tuple[list[ObjectPrompt], bool]:
    """Splits the arguments of a call into objects; the flag says whether they have an axis K."""
    given, counts = {}, {}
    for name, value in arrays.items():
        if value is None:
            continue
        _, shape, rank = _ARGUMENTS[name]
        several = shape.replace("(", "(K, ").replace(",)", ")")
        given[name] = array = as_numbers(value, name, f"{shape} or {several}")
        if array.ndim not in (rank, rank + 1):
            raise ValueError(f"{name}: expected shape {shape} or {several}, found {array.shape}")
        counts[name] = len(array) if array.ndim > rank else None
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name} {array.shape}" for name, array in given.items())
        raise ValueError(f"expected all prompts for one object, or all for K, found {found}")
    count = next(iter(counts.values()), None)
    rows = {name: array if count is not None else array[None] for name, array in given.items()}
    if "mask_input" in rows:
        if rows["mask_input"].shape[1] != 1:
            raise ValueError(
                "mask_input: expected one mask for each object, (1, m, m) or (K, 1, m, m), found "
                f"{given['mask_input'].shape}; choose one of low_res, as in low_res[best][None]"
            )
        rows["mask_input"] = rows["mask_input"][:, 0]
    columns = {_ARGUMENTS[name][0]: array for name, array in rows.items()}
    objects = [
        ObjectPrompt(**{field: array[row] for field, array in columns.items()})
        for row in range(1 if count is None else count)
    ]
    return objects, count is not None
