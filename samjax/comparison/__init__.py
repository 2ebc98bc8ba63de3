"""A comparison of methods as one command: train, test, draw, and write the page of results."""

from samjax.comparison.plan import Ablation, Comparison, EvalSetting, Method, TrainingStage

__all__ = ["Ablation", "Comparison", "EvalSetting", "Method", "TrainingStage"]
