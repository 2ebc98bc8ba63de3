"""Interactive training of SAM-Med2D: prompts correct the network's errors (paper, section 3.2 C).

The first update encodes the images and may train adapters (or the whole encoder), prompt encoder
and decoder. The later ones reuse the detached image embedding, get new clicks where the last
prediction was wrong, and train the decoder, and optionally the prompt encoder.
"""

import dataclasses
from typing import Any, no_type_check

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray, UInt8, UInt32

from samjax import losses, masks, models, prompting, types
from samjax.models import groups
from samjax.prompting import PromptingConfig
from samjax.tasks.base import LossOutput
from samjax.tasks.trainable import TrainableConfig
from samjax.types import Params


@no_type_check  # JAX fills it with shapes and shardings, too.
@struct.dataclass
class Batch:
    """Images with `k` masks each, see `samjax.data.pipeline.training_iterator`.

    Attributes:
        image: Normalised images.
        masks: True masks, 0 or 1.
        boxes: Their tight boxes, pixels.
        seed: Random seed of each image.
    """

    image: Float[Array, "b s s 3"]
    masks: UInt8[Array, "b k s s"]
    boxes: Float[Array, "b k 4"]
    seed: UInt32[Array, " b"]


@struct.dataclass
class Carry:
    """State between two updates of a batch.

    Attributes:
        keys: Random key of each object.
        plan: Choices that all objects of the batch share.
        prompts: All prompts so far.
        embedding: Detached image embedding; None before the first update.
        prediction: Last prediction; None before the first update.
    """

    keys: Key[Array, "b k"]
    plan: prompting.Plan
    prompts: types.Prompts
    embedding: Float[Array, "b g g c"] | None = None
    prediction: losses.Prediction | None = None


@dataclasses.dataclass(frozen=True)
class InteractiveTask:
    """Static description of interactive training.

    Attributes:
        model: Architecture.
        mask_prompt: Kind of mask prompt, `logits` or `sigmoid`.
        prompting: Simulated annotator.
        loss: Loss of the predicted masks.
        trainable: Trainable parts.
    """

    model: models.SamConfig
    mask_prompt: str
    prompting: PromptingConfig
    loss: losses.LossConfig
    trainable: TrainableConfig

    @property
    def first_groups(self) -> tuple[str, ...]:
        """Parameter groups that the first update trains."""
        prompt_groups = () if self.trainable.prompt_encoder == "frozen" else groups.PROMPT_GROUPS
        return (*self.trainable.encoder_groups, *prompt_groups, "decoder")

    @property
    def later_groups(self) -> tuple[str, ...]:
        """Parameter groups that the later updates train."""
        in_all = self.trainable.prompt_encoder == "all"
        return ("points", "masks", "decoder") if in_all else ("decoder",)

    @property
    def frozen(self) -> str:
        """Regular expression of parameters that no update trains, whatever their group."""
        return self.trainable.frozen(self.model.peft, self.trainable.iou_head)

    @property
    def later_updates(self) -> int:
        """Number of updates after the first."""
        return self.prompting.iterations - 1

    @property
    def preprocessing_fields(self) -> dict[str, Any]:
        """Fields of the preprocessing that training decides: the prompts that the network knows."""
        known = {"multimask": self.trainable.multimask}
        return known | ({"point_prompts": True} if self.prompting.gives_points else {})

    def batch(self, arrays: dict[str, Any]) -> Batch:
        """Returns the batch of arrays that the data pipeline yields."""
        return Batch(**arrays)

    def begin(self, key: PRNGKeyArray, batch: Batch) -> Carry:
        """Draws the plan of the batch and the first prompts."""
        plan_key, object_key = jax.random.split(key)
        plan = prompting.plan(plan_key, self.prompting)
        keys = prompting.object_keys(object_key, batch.seed, batch.masks.shape[1])
        prompts = prompting.first_prompts(
            keys,
            batch.masks != 0,
            batch.boxes,
            plan.starts_with_box,
            self.prompting,
            self.model.mask_size,
        )
        return Carry(keys, plan, prompts)

    def first_loss(
        self, params: Params, batch: Batch, carry: Carry
    ) -> tuple[Float[Array, ""], LossOutput]:
        """Encodes the images and predicts from a box or one point."""
        embedding = models.encode_image(self.model, params, batch.image)
        active = {
            "points": ~carry.plan.starts_with_box,
            "boxes": carry.plan.starts_with_box,
            "masks": jnp.zeros((), bool),
        }
        loss, prediction = self.loss_of_prompts(params, embedding, batch.masks != 0, carry.prompts)
        after = dataclasses.replace(
            carry, embedding=jax.lax.stop_gradient(embedding), prediction=prediction
        )
        return loss, LossOutput(after, metrics_of(prediction), active)

    def later_loss(
        self, params: Params, batch: Batch, carry: Carry, iteration: jax.Array
    ) -> tuple[Float[Array, ""], LossOutput]:
        """Predicts from new clicks and the last prediction, or from the last prediction alone."""
        assert carry.embedding is not None and carry.prediction is not None
        truth = batch.masks != 0
        prompts = prompting.next_prompts(
            carry.keys,
            carry.prompts,
            carry.prediction.predicted,
            truth,
            masks.mask_prompt(carry.prediction.low_res, self.mask_prompt),
            iteration,
            carry.plan.point_counts[iteration],
            self.prompting,
        )
        mask_only = carry.plan.mask_only[iteration]
        visible_prompts = prompting.hide_points(prompts, mask_only)
        loss, prediction = self.loss_of_prompts(params, carry.embedding, truth, visible_prompts)
        after = dataclasses.replace(carry, prompts=prompts, prediction=prediction)
        return loss, LossOutput(after, metrics_of(prediction), {"points": ~mask_only})

    def log_row(self, metrics: dict[str, np.ndarray]) -> dict[str, float]:
        """Means over the iterations; of Dice, the first and the last."""
        row = {name: values.mean() for name, values in metrics.items() if name != "dice"}
        row |= {"dice_first": metrics["dice"][0], "dice": metrics["dice"][-1]}
        return {name: float(value) for name, value in row.items()}

    def loss_of_prompts(
        self,
        params: Params,
        embedding: Float[Array, "b g g c"],
        truth: Bool[Array, "b k s s"],
        prompts: types.Prompts,
    ) -> tuple[Float[Array, ""], losses.Prediction]:
        """Predicts masks from prompts; returns their loss and the prediction."""
        low_res, iou = models.predict_masks(
            self.model, params, embedding, prompts, self.trainable.multimask
        )
        return losses.segmentation_loss(low_res, iou, truth, self.loss)


def metrics_of(prediction: losses.Prediction) -> dict[str, Float[Array, ""]]:
    """Returns the loss terms of a prediction, and its mean Dice, by name."""
    terms = {
        "focal": prediction.focal,
        "dice_loss": prediction.dice_loss,
        "iou_error": prediction.iou_error,
        "dice": prediction.mean_dice,
    }
    return terms if prediction.bce is None else terms | {"bce": prediction.bce}
