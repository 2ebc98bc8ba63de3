"""Declaration of parameters by the modules that have them: shape, group, initial values and cut.

A module calls `parameter` for each of its parameters. Initialised, it returns every one in a box,
its `Declaration`, which `samjax.models.declarations` collects; applied, it takes plain arrays.
"""

import dataclasses
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from flax.core import meta

# Groups that an update can leave out; `constant` is loaded and never trained.
GroupName = Literal[
    "encoder", "adapter", "points", "boxes", "no_mask", "masks", "decoder", "prompts", "constant"
]


@dataclasses.dataclass(frozen=True)
class Initial:
    """Initial values of a layer, normal, with variance `gain` over the fan of its kernel.

    Attributes:
        gain: By default PyTorch's, as SAM started; 1 keeps the scale of the input, 2 does after a
            GELU, and 0 is zero.
        fan: Inputs (`in`) or outputs (`out`) of the kernel. Of a transposed kernel, `out` counts
            the inputs, as many as outputs, as SAM-Med2D's code does.
        bias: Whether the bias is drawn, too; else it is zero.
    """

    gain: float = 1 / 3
    fan: Literal["in", "out"] = "in"
    bias: bool = False

    def stds(self, shape: tuple[int, ...]) -> tuple[float, float]:
        """Returns the standard deviations of a kernel of this shape, and of the bias."""
        fan = math.prod(shape[:-1] if self.fan == "in" else (*shape[:-2], shape[-1]))
        std = math.sqrt(self.gain / max(fan, 1))
        return std, std if self.bias else 0.0


class Declaration(struct.PyTreeNode, meta.AxisMetadata[Any]):
    """Box around a parameter, with all that its module declares of it.

    Attributes:
        value: Zeros of its shape, float32; or only their shape.
        group: Its parameter group; None if neither it nor a module around it has one.
        mean: Mean of the normal distribution that it is drawn from.
        std: Standard deviation of that.
        cut: Axis along which devices may share it; None if each of them holds the whole.
    """

    value: Any
    group: GroupName | None = struct.field(pytree_node=False)
    mean: float = struct.field(pytree_node=False)
    std: float = struct.field(pytree_node=False)
    cut: int | None = struct.field(pytree_node=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the parameter."""
        return self.value.shape

    def unbox(self) -> Any:
        """Returns the value."""
        return self.value

    def replace_boxed(self, val: Any) -> "Declaration":
        """Returns the declaration around another value."""
        return self.replace(value=val)

    def add_axis(self, index: int, params: dict[Any, Any]) -> "Declaration":
        """Returns the declaration of several parameters in one array: the same."""
        return self

    remove_axis = add_axis


def parameter(
    module: nn.Module,
    name: str,
    shape: tuple[int, ...],
    mean: float = 0.0,
    std: float = 0.0,
    group: GroupName | None = None,
    cut: int | None = None,
) -> Any:
    """Declares a parameter of a module, and returns its value: a float32 array of JAX or NumPy.

    Args:
        module: The module, as in `module.param`.
        name: Name of the parameter.
        shape: Its shape.
        mean: Mean of its initial values.
        std: Their standard deviation; 0 for a constant.
        group: Its group; by default that of the innermost module around it whose class has an
            attribute `group`.
        cut: Axis along which devices may share it, -1 for the last; by default none.
    """

    def declare(key: jax.Array) -> Any:
        del key  # `models.init` draws all values at once.
        zeros = jnp.zeros(shape, jnp.float32)
        return Declaration(zeros, group or _inherited(module), mean, std, cut)

    return module.param(name, declare)


def _inherited(module: Any) -> GroupName | None:
    while isinstance(module, nn.Module):
        if group := getattr(type(module), "group", None):
            return group
        module = module.parent
    return None
