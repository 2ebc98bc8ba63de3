"""Semantic training: every pixel gets a class, without a prompt (SAMed, AutoSAM)."""

import dataclasses
from typing import Any, no_type_check

import jax
import numpy as np
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray, UInt8, UInt32

from samjax import losses, models
from samjax.tasks.base import LossOutput
from samjax.tasks.trainable import TrainableConfig
from samjax.types import Params


@no_type_check  # JAX fills it with shapes and shardings, too.
@struct.dataclass
class LabelledBatch:
    """Images with the class of every pixel, see `samjax.data.pipeline.training_iterator`.

    Attributes:
        labels: Class of every pixel; 0 is the background.
        seed: Random seed of each image.
        image: Normalised images; None where there are embeddings.
        embedding: Embeddings that a frozen encoder gave before; None where there are images.
    """

    labels: UInt8[Array, "b s s"]
    seed: UInt32[Array, " b"]
    image: Float[Array, "b s s 3"] | None = None
    embedding: Float[Array, "b g g c"] | None = None


@dataclasses.dataclass(frozen=True)
class SemanticTask:
    """Static description of semantic training: one update for each batch.

    Attributes:
        model: Architecture, with a semantic head.
        loss: Loss of the class logits.
        trainable: Trainable parts.
    """

    model: models.SamConfig
    loss: losses.ClassLossConfig
    trainable: TrainableConfig

    @property
    def first_groups(self) -> tuple[str, ...]:
        """Parameter groups that the update trains; of the prompt encoder, "no mask" alone."""
        has_prompts = self.model.head.takes_prompt_encoder
        trains_prompts = has_prompts and self.trainable.prompt_encoder != "frozen"
        prompt_groups = ("no_mask",) if trains_prompts else ()
        return (*self.trainable.encoder_groups, *prompt_groups, "decoder")

    @property
    def frozen(self) -> str:
        """Regular expression of parameters that no update trains, whatever their group.

        The IoU head takes no part in the loss.
        """
        return self.trainable.frozen(self.model.peft, iou_head=False)

    @property
    def preprocessing_fields(self) -> dict[str, Any]:
        """Fields of the preprocessing that training decides: none."""
        return {}

    def batch(self, arrays: dict[str, Any]) -> LabelledBatch:
        """Returns the batch of arrays that the data pipeline yields."""
        return LabelledBatch(**arrays)

    def begin(self, key: PRNGKeyArray, batch: LabelledBatch) -> None:
        """Returns nothing: the loss is not random."""
        del key, batch

    def first_loss(
        self, params: Params, batch: LabelledBatch, carry: None
    ) -> tuple[Float[Array, ""], LossOutput]:
        """Encodes the images and compares the predicted classes with the labels."""
        del carry
        embedding = batch.embedding
        if embedding is None:
            assert batch.image is not None
            embedding = models.encode_image(self.model, params, batch.image)
        return self.loss_of_embedding(params, embedding, batch.labels)

    def log_row(self, metrics: dict[str, np.ndarray]) -> dict[str, float]:
        """Returns the terms of the loss, and the Dice score that its Dice term stands for."""
        row = {name: float(values[0]) for name, values in metrics.items()}
        return row | {"dice": 1 - row["dice_loss"]}

    def loss_of_embedding(
        self,
        params: Params,
        embedding: Float[Array, "b g g c"],
        labels: UInt8[Array, "b s s"],
    ) -> tuple[Float[Array, ""], LossOutput]:
        """Returns the loss of the classes that are predicted from an image embedding."""
        low_res = models.predict_classes(self.model, params, embedding)
        loss, terms = losses.class_loss(low_res, labels, self.loss)
        predicted = jax.lax.stop_gradient(low_res).argmax(1)
        truth = losses.shrink_labels(labels, low_res.shape[-1])
        return loss, LossOutput(None, terms | {"accuracy": (predicted == truth).mean()}, {})
