"""Training of a head that prompts SAM's decoder for every class; all the rest of SAM is frozen."""

import dataclasses

import jax
from jaxtyping import Array, Float, UInt8

from samjax import losses, models
from samjax.tasks.base import LossOutput
from samjax.tasks.semantic import SemanticTask
from samjax.types import Params


@dataclasses.dataclass(frozen=True)
class ClassPromptTask(SemanticTask):
    """Static description of the training of a head `prompts`: one update for each batch.

    The decoder takes no part in it: the head learns from the labels, and proposes prompts later.

    Attributes:
        model: Architecture, with a head `prompts`.
        loss: Loss of the foreground, and weight of the centres.
        trainable: Trainable parts; the encoder is frozen.
    """

    @property
    def first_groups(self) -> tuple[str, ...]:
        """Parameter groups that the update trains: the head alone."""
        return ("prompts",)

    @property
    def frozen(self) -> str:
        """Regular expression of parameters that no update trains: none of the head."""
        return ""

    def loss_of_embedding(
        self,
        params: Params,
        embedding: Float[Array, "b g g c"],
        labels: UInt8[Array, "b s s"],
    ) -> tuple[Float[Array, ""], LossOutput]:
        """Returns the loss of foreground and centres that are predicted from an image embedding."""
        maps = models.predict_class_maps(self.model, params, embedding)
        loss, terms = losses.class_loss(maps.foreground, labels, self.loss)
        truth = losses.shrink_labels(labels, maps.centre.shape[-1])
        centres = losses.centre_loss(maps.centre, truth, self.model.head.objects)
        predicted = jax.lax.stop_gradient(maps.foreground).argmax(1)
        terms |= {"centres": centres, "accuracy": (predicted == truth).mean()}
        return loss + self.loss.centre_weight * centres, LossOutput(None, terms, {})
