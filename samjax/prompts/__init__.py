"""A simulated annotator: boxes and clicks, jittable, with one random key per object."""

from samjax.prompts.boxes import Jitter, jitter_boxes
from samjax.prompts.interaction import (
    Plan,
    SessionConfig,
    first_prompts,
    hide_points,
    next_prompts,
    plan,
)
from samjax.prompts.keys import object_keys
from samjax.prompts.points import correction_points, first_point, sample_from

__all__ = [
    "Jitter",
    "Plan",
    "SessionConfig",
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
