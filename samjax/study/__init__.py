"""A comparison of methods as one command: train, test, draw, and write the page of results."""

from samjax.study.plan import Ablation, Method, Stage, Study, Trial

__all__ = ["Ablation", "Method", "Stage", "Study", "Trial"]
