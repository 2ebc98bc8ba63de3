"""Interface of a training task."""

from typing import Any, Protocol, runtime_checkable

import jax
from flax import struct
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from samjax.models import SamConfig
from samjax.types import Params

Carry = Any  # Arrays that a task hands from one update of a batch to the next.
Batch = Any  # Arrays of a batch; the type is the task's.


@struct.dataclass
class LossOutput:
    """Auxiliary output of a loss.

    Attributes:
        carry: Input of the next loss; a later loss returns it in the structure that it got.
        metrics: Loss terms and scores, by name.
        active: Whether a parameter group takes part in this update, by name; groups that are not
            named take part. A group that does not keeps value, moments and count.
    """

    carry: Carry
    metrics: dict[str, Float[Array, "..."]]
    active: dict[str, Bool[Array, ""]]


@runtime_checkable
class Task(Protocol):
    """A training batch's first update; often its only one, see `IterativeTask`.

    A task is frozen and hashable, and static under jit. It knows no optimizer.
    """

    @property
    def model(self) -> SamConfig:
        """Architecture."""
        ...

    @property
    def first_groups(self) -> tuple[str, ...]:
        """Parameter groups that the first update trains, see `samjax.models.groups`."""
        ...

    @property
    def frozen(self) -> str:
        """Regular expression of parameters that no update trains, whatever their group."""
        ...

    @property
    def preprocessing_fields(self) -> dict[str, Any]:
        """Fields of `samjax.data.inputs.Preprocessing` that training decides, with their values."""
        ...

    def batch(self, arrays: dict[str, Any]) -> Batch:
        """Returns the batch of arrays that the data pipeline yields."""
        ...

    def begin(self, key: PRNGKeyArray, batch: Batch) -> Carry:
        """Returns the input of the first loss: random choices and first prompts."""
        ...

    def first_loss(
        self, params: Params, batch: Batch, carry: Carry
    ) -> tuple[Float[Array, ""], LossOutput]:
        """Returns the loss of the first update."""
        ...

    def log_row(self, metrics: dict[str, Any]) -> dict[str, float]:
        """Summarises metrics, which have an entry per update, for a row of the logs."""
        ...


@runtime_checkable
class IterativeTask(Task, Protocol):
    """A task with further updates by the same batch, after the first."""

    @property
    def later_groups(self) -> tuple[str, ...]:
        """Parameter groups that each later update trains; all of them among `first_groups`."""
        ...

    @property
    def later_updates(self) -> int:
        """Number of updates after the first; there may be none."""
        ...

    def later_loss(
        self, params: Params, batch: Batch, carry: Carry, iteration: jax.Array
    ) -> tuple[Float[Array, ""], LossOutput]:
        """Returns the loss of a later update, numbered from 1."""
        ...
