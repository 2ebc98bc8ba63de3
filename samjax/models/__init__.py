"""SAM and SAM-Med2D as pure functions over plain nested-dict parameters."""

from samjax.models.config import SamConfig, TinyVitConfig, vit_b, vit_h, vit_l
from samjax.models.heads import HeadConfig
from samjax.models.initialise import init
from samjax.models.mask_decoder import PreparedImages
from samjax.models.merge_lora import merge_lora
from samjax.models.parameters import (
    count_parameters,
    declarations,
    named_leaves,
    parameter_overview,
    shapes,
    without_adapters,
)
from samjax.models.peft import PeftConfig
from samjax.models.prompt_encoder import PromptEmbeddings
from samjax.models.sam import (
    answer_maps,
    decode_masks,
    encode_image,
    encode_prompts,
    predict_class_maps,
    predict_classes,
    predict_masks,
    predict_prepared,
    prepare_images,
)
from samjax.models.tiny import tiny

__all__ = [
    "HeadConfig",
    "PeftConfig",
    "PreparedImages",
    "PromptEmbeddings",
    "SamConfig",
    "TinyVitConfig",
    "answer_maps",
    "count_parameters",
    "declarations",
    "decode_masks",
    "encode_image",
    "encode_prompts",
    "init",
    "merge_lora",
    "named_leaves",
    "parameter_overview",
    "predict_class_maps",
    "predict_classes",
    "predict_masks",
    "predict_prepared",
    "prepare_images",
    "shapes",
    "tiny",
    "vit_b",
    "vit_h",
    "vit_l",
    "without_adapters",
]
