"""Parameter-efficient fine-tuning of the image encoder: adapters and LoRA."""

import jax.numpy as jnp
from jax.typing import DTypeLike

from samjax.models.peft.adapters import ConvBottleneckAdapter, SamMed2DAdapter
from samjax.models.peft.base import Peft
from samjax.models.peft.config import PeftConfig
from samjax.models.peft.lora import Lora

__all__ = ["Peft", "PeftConfig", "make"]


def make(config: PeftConfig, dtype: DTypeLike) -> Peft:
    """Makes the module of one block, see `PeftConfig.is_in`."""
    dtype = jnp.dtype(dtype)
    if config.kind == "lora":
        return Lora(config, dtype)
    kinds = {"sam_med2d": SamMed2DAdapter, "conv_bottleneck": ConvBottleneckAdapter}
    return kinds[config.kind](config.ratio, dtype)
