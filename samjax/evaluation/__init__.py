"""Evaluation of a model: protocols, metrics, reports.

The names below are imported on first use: processes that compute metrics need no JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # The same as the table below, for type checkers and editors.
    from samjax.evaluation.evaluator import evaluate
    from samjax.evaluation.prompt_file import MaskPrompt, PromptSet
    from samjax.evaluation.results import EvalConfig, Evaluation, MaskResult, Score
    from samjax.evaluation.table import ScoreTable

__all__ = [
    "EvalConfig",
    "Evaluation",
    "MaskPrompt",
    "MaskResult",
    "PromptSet",
    "Score",
    "ScoreTable",
    "evaluate",
]
_MODULES = {
    "EvalConfig": "results",
    "Evaluation": "results",
    "MaskPrompt": "prompt_file",
    "MaskResult": "results",
    "PromptSet": "prompt_file",
    "Score": "results",
    "ScoreTable": "table",
    "evaluate": "evaluator",
}


def __getattr__(name: str) -> Any:
    """Imports a public name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    value = globals()[name] = getattr(module, name)
    return value
