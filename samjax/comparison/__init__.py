"""Comparison of methods: trains and evaluates all, and writes the page of results."""

from samjax.comparison.plan import Ablation, Comparison, EvalSetting, Method, TrainingStage

__all__ = ["Ablation", "Comparison", "EvalSetting", "Method", "TrainingStage"]
