"""Simulated prompts of interactive training: boxes and clicks, with one random key per object."""

from samjax.prompting.boxes import Jitter, jitter_boxes
from samjax.prompting.interaction import (
    Plan,
    PromptingConfig,
    first_prompts,
    hide_points,
    next_prompts,
    plan,
)
from samjax.prompting.keys import object_keys
from samjax.prompting.points import correction_points, first_point, sample_from

__all__ = [
    "Jitter",
    "Plan",
    "PromptingConfig",
    "correction_points",
    "first_point",
    "first_prompts",
    "hide_points",
    "jitter_boxes",
    "next_prompts",
    "object_keys",
    "plan",
    "sample_from",
]
