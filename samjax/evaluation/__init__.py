"""Evaluation of a model: protocols, metrics, reports."""

from samjax.evaluation.evaluator import evaluate
from samjax.evaluation.prompt_file import MaskPrompt, PromptSet
from samjax.evaluation.results import EvalConfig, Evaluation, MaskResult, Score

__all__ = [
    "EvalConfig",
    "Evaluation",
    "MaskPrompt",
    "MaskResult",
    "PromptSet",
    "Score",
    "evaluate",
]
