"""Validation while training: the code of `eval.py` on held-out images."""

from samjax.evaluation import report
from samjax.evaluation.evaluator import EvalConfig, evaluate
from samjax.pretrained import Pretrained
from samjax.training.start import Data


def scores(model: Pretrained, data: Data, config: EvalConfig) -> dict[str, float]:
    """Mean Dice of every protocol, and their mean, by which the best model is chosen."""
    evaluation = evaluate(model, data.root, data.validation, config, progress=False)
    overall = report.summarise(evaluation)["overall"]
    dice = {name: overall[name]["dice"] for name in evaluation.config.protocols}
    mean = sum(dice.values()) / len(dice)
    return {"validation/dice": mean} | {f"validation/{name}": dice[name] for name in dice}
