"""A simulated annotator: boxes and clicks, jittable, with one random key per object."""

from samjax.prompts.boxes import JITTER, jitter_boxes
from samjax.prompts.keys import object_keys
from samjax.prompts.points import correction_points, first_point, sample_from

__all__ = [
    "JITTER",
    "correction_points",
    "first_point",
    "jitter_boxes",
    "object_keys",
    "sample_from",
]
