"""Interactive prediction with the interface of SAM's `SamPredictor`."""

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
from samjax.inference import batch, classes, uncertainty
from samjax.inference.object_prompt import ObjectPrompt, split_objects
from samjax.models.config import Dtype
from samjax.models.directory import Model

_log = logging.getLogger(__name__)

_DTYPES: dict[str, Dtype] = {
    "float32": "float32",
    "f32": "float32",
    "fp32": "float32",
    "float": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
}


class Predictor:
    """Computes the embedding of an image once, then predicts masks for any number of prompts.

    Call `set_image` first, then `predict` as often as needed. Coordinates are (x, y) in pixels of
    the original image. After the first few calls nothing is compiled again, whatever the prompts.

    Attributes:
        model: The model, with its parameters on the device.
        adapters: Whether the image encoder uses its adapters, if it has any.
        mask_threshold: A pixel is foreground where its logit is above this.
    """

    mask_threshold = masks.THRESHOLD

    def __init__(self, model: Model, adapters: bool = True):
        """Moves the parameters of a model to the device."""
        params = jax.device_put(model.params)
        self.model = dataclasses.replace(model, params=params)
        self.adapters = adapters
        self._warned_about_points = model.preprocessing.supports_points
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
        """Loads a model for prediction.

        Args:
            path: A samjax model directory, a PyTorch `.pth` file or Hugging Face `.safetensors`.
            image_size: Side of the network's input; by default the checkpoint's own.
            adapters: False drops the adapters (SAM-Med2D* in the paper).
            dtype: `float32` or `bfloat16` compute, as NumPy, JAX or PyTorch spell it (`bf16` and
                `torch.bfloat16`, too); by default the checkpoint's own.
            family: Family whose preprocessing to use, such as `sam`; by default the checkpoint's
                own, or a guess from its parameters (with a warning).
            preprocessing_overrides: Fields of `samjax.data.inputs.Preprocessing` to replace.
            allow_non_finite: Accept weights that are NaN or infinite.

        Returns:
            A predictor without an image.

        Raises:
            FileNotFoundError: There is no such file or directory.
            ValueError: The file is not a checkpoint, or its network does not support this input
                size or dtype.
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
        """Computes the embedding of an image, for the next calls of `predict`.

        Args:
            image: uint8, (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), any size; or a PIL image of
                8 bits and any mode, which is converted.
            image_format: Channel order of a colour array, `RGB` or `BGR`.

        Raises:
            ValueError: The image is not of this type or shape.
        """
        self.set_image_batch([image], image_format)

    def set_image_batch(self, images: Sequence[batch.ImageLike], image_format: str = "RGB") -> None:
        """Computes the embeddings of several images, for the next calls of `predict_batch`.

        Args:
            images: Images of any sizes, each as in `set_image`.
            image_format: Channel order of colour arrays, `RGB` or `BGR`.

        Raises:
            ValueError: An image is not of this type or shape; the message says which.
        """
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
        ensemble: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Predicts masks of one object, or of K objects at once, in the current image.

        The kinds of prompts may be combined; at least one is required.

        Args:
            point_coords: Clicks (x, y), pixels of the image, shape (N, 2), or (K, N, 2) for K
                objects.
            point_labels: 1 for a click on the object, 0 beside it, -1 for "not a point", which
                pads the rows of K objects; shape (N,) or (K, N).
            box: Corners (x0, y0, x1, y1), pixels of the original image, shape (4,) or (K, 4).
            mask_input: Low-resolution logits of an earlier call, shape (1, m, m) or (K, 1, m, m),
                with m = `model.config.mask_size`.
            multimask_output: Whether to predict three masks of each object, or one. Three suit
                ambiguous prompts such as a single click: use the one with the highest score.
                None: as the network was trained, three except for LiteMedSAM.
            return_logits: Return logits instead of boolean masks.
            best: Return only the mask with the highest score of the three, which is faster.
            ensemble: Number of boxes whose predictions are averaged: `box` and others close to it
                (SAM-U); `samjax.inference.predict_ensemble` has their uncertainty, too. Box prompts
                only; C is 1, of the best masks, and logits and scores are means. None: no
                ensemble.

        Returns:
            Masks (C, H, W) at the image's size, bool or float32 logits; their predicted IoU (C,)
            float32; and their low-resolution logits (C, m, m) float32. With a leading K if the
            prompts have one. C is 3 or 1.

        Raises:
            RuntimeError: No image is set, or several are.
            ValueError: A prompt has the wrong shape or values.
        """
        if len(self.embeddings.placements) != 1:
            raise RuntimeError("several images are set: call predict_batch, or set_image first")
        objects, several = split_objects(
            {
                "point_coords": point_coords,
                "point_labels": point_labels,
                "box": box,
                "mask_input": mask_input,
            }
        )
        if ensemble is not None:
            result = uncertainty.predict_objects(
                self, objects, ensemble, multimask_output, return_logits
            )
        else:
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
        """Predicts masks of objects in the images of `set_image_batch`.

        Args:
            prompts: One list of objects for each image; it may be empty.
            multimask_output: As in `predict`.
            return_logits: As in `predict`.
            best: As in `predict`.

        Returns:
            One result for each image.

        Raises:
            RuntimeError: No image is set.
            ValueError: A prompt has the wrong shape or values.
        """
        results = batch.segment_embedded(
            self.model,
            self.embeddings,
            prompts,
            multimask=multimask_output,
            best=best,
            return_logits=return_logits,
        )
        self._warn_about_points(prompt for objects in prompts for prompt in objects)
        return results

    def predict_classes(self, return_probabilities: bool = False) -> classes.ClassPrediction:
        """Predicts the class of every pixel of the current image, without a prompt.

        Args:
            return_probabilities: Whether to return the probabilities of all classes, too.

        Returns:
            Labels (H, W) uint8, 0 for the background and `i` for `model.classes[i - 1]`;
            probabilities (K + 1, H, W) float32 of the background and K classes, or None; and
            low-resolution logits (K + 1, m, m) float32.

        Raises:
            RuntimeError: No image is set, or several are.
            ValueError: The model predicts masks from prompts.
        """
        if len(self.embeddings.placements) != 1:
            raise RuntimeError("several images are set: call predict_classes_batch, or set_image")
        return self.predict_classes_batch(return_probabilities)[0]

    def predict_classes_batch(
        self, return_probabilities: bool = False
    ) -> list[classes.ClassPrediction]:
        """Predicts the classes of the images of `set_image_batch`, as `predict_classes` does."""
        return classes.predict_embedded(self.model, self.embeddings, return_probabilities)

    def iter_predictions(
        self,
        prompts: Sequence[ObjectPrompt],
        multimask_output: bool | None = None,
        all_masks: bool = False,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Predicts masks of many objects of one image in bounded memory, a few objects at a time.

        Args:
            prompts: Prompts of the objects.
            multimask_output: As in `predict`.
            all_masks: Yield all masks of an object, not only the one with the highest score.

        Returns:
            An iterator over each object's masks (C, H, W) bool, and predicted IoU of all its
            candidates, (3,) or (1,) float32.

        Raises:
            RuntimeError: No image is set.
            ValueError: A prompt has the wrong shape or values.
        """
        results = batch.iter_masks(
            self.model, self.embeddings, prompts, multimask=multimask_output, all_masks=all_masks
        )
        self._warn_about_points(prompts)
        return results

    def reset_image(self) -> None:
        """Discards the image and its embedding."""
        self._embedded = None

    @property
    def is_image_set(self) -> bool:
        """Whether an image is set."""
        return self._embedded is not None

    @property
    def features(self) -> jax.Array:
        """Image embedding in the layout of samjax, (1, g, g, c)."""
        embedded = self.embeddings
        return embedded.features.embedding[: len(embedded.placements)]

    def get_image_embedding(self) -> np.ndarray:
        """Returns the image embedding in SAM's layout, (1, c, g, g) float32."""
        return np.asarray(self.features, np.float32).transpose(0, 3, 1, 2)

    @property
    def original_size(self) -> tuple[int, int]:
        """Height and width of the original image, pixels."""
        placement = self.embeddings.placements[0]
        return placement.height, placement.width

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the image in the network's input, without padding, pixels."""
        placement = self.embeddings.placements[0]
        return placement.inner_height, placement.inner_width

    @property
    def embeddings(self) -> batch.ImageEmbeddings:
        """Embeddings of the images that are set."""
        if self._embedded is None:
            raise RuntimeError("no image is set: call set_image first")
        return self._embedded

    def _warn_about_points(self, prompts: Iterable[ObjectPrompt]) -> None:
        """Warns once if points are given to a network that was trained on boxes alone."""
        if not self._warned_about_points and any(len(prompt.clicks) for prompt in prompts):
            _log.warning(
                "points: this model knows boxes alone (preprocessing.point_prompts): their masks "
                "mean little"
            )
            self._warned_about_points = True


def _dtype_name(dtype: object) -> Dtype:
    """Returns `float32` or `bfloat16` for any usual spelling of either."""
    try:
        name = np.dtype(dtype).name  # pyrefly: ignore[no-matching-overload]
    except TypeError:
        name = str(dtype)
    known = _DTYPES.get(name.removeprefix("torch.").lower())
    if known is None:
        raise ValueError(f"dtype: expected float32 or bfloat16, found {dtype!r}")
    return known
