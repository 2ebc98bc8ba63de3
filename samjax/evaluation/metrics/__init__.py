"""Metrics of masks, and statistics of their values; without JAX, so that workers start fast."""

from samjax.evaluation.metrics.bootstrap import RESAMPLES, Mean, bootstrap_means
from samjax.evaluation.metrics.overlap import best_median_worst, dice, iou

__all__ = ["RESAMPLES", "Mean", "best_median_worst", "bootstrap_means", "dice", "iou"]
