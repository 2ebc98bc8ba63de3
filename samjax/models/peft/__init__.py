"""Parameter-efficient fine-tuning of the image encoder: adapters and LoRA."""

import jax.numpy as jnp
from jax.typing import DTypeLike

from samjax.models.peft.adapters import ConvBottleneckAdapter, SamMed2DAdapter
from samjax.models.peft.adaptformer import AdaptFormer
from samjax.models.peft.base import NONE, Peft, add
from samjax.models.peft.config import PeftConfig
from samjax.models.peft.fact import Fact
from samjax.models.peft.lora import Lora
from samjax.models.peft.msa import MsaAdapter
from samjax.models.peft.ssf import ScaleAndShift

__all__ = ["NONE", "Peft", "PeftConfig", "add", "make"]


def make(config: PeftConfig, dtype: DTypeLike) -> Peft:
    """Makes the module of one block, see `PeftConfig.is_in`."""
    kinds = {
        "sam_med2d": SamMed2DAdapter,
        "conv_bottleneck": ConvBottleneckAdapter,
        "msa": MsaAdapter,
        "lora": Lora,
        "fact": Fact,
        "ssf": ScaleAndShift,
        "adaptformer": AdaptFormer,
    }
    return kinds[config.kind](config, jnp.dtype(dtype))
