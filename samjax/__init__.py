"""samjax: SAM-Med2D, promptable segmentation of 2D medical images, in JAX.

    model = samjax.load("sam-med2d_b.pth")
    predictor = samjax.Predictor(model)
    predictor.set_image(image)
    masks, scores, low_res = predictor.predict(box=box)

    config = samjax.recipes.load("sam_med2d")
    config.data.root = "my_data"
    trained = samjax.train(config, "runs/mine")
    evaluation = samjax.evaluate(samjax.load(trained.model_dir), "my_data")

`dir(samjax)` lists the public names; each is imported on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:  # The same as the table below, for type checkers and editors.
    from samjax import (
        comparison,
        conversion,
        curation,
        data,
        evaluation,
        inference,
        losses,
        models,
        prompting,
        recipes,
        training,
    )
    from samjax.conversion import from_torch, to_torch
    from samjax.conversion import load_or_convert as load
    from samjax.evaluation import EvalConfig, evaluate
    from samjax.inference import AutomaticMaskGenerator, ObjectPrompt, Predictor, segment
    from samjax.models.directory import Model, save
    from samjax.training.config import Experiment
    from samjax.training.loop import train

__all__ = [
    "AutomaticMaskGenerator",
    "EvalConfig",
    "Experiment",
    "Model",
    "ObjectPrompt",
    "Predictor",
    "__version__",
    "comparison",
    "conversion",
    "curation",
    "data",
    "evaluate",
    "evaluation",
    "from_torch",
    "inference",
    "load",
    "losses",
    "models",
    "prompting",
    "recipes",
    "save",
    "segment",
    "to_torch",
    "train",
    "training",
]
_HOMES = {  # Modules of the names that are no modules.
    "AutomaticMaskGenerator": "samjax.inference.AutomaticMaskGenerator",
    "EvalConfig": "samjax.evaluation.EvalConfig",
    "Experiment": "samjax.training.config.Experiment",
    "ObjectPrompt": "samjax.inference.ObjectPrompt",
    "Predictor": "samjax.inference.Predictor",
    "Model": "samjax.models.directory.Model",
    "evaluate": "samjax.evaluation.evaluate",
    "from_torch": "samjax.conversion.from_torch",
    "load": "samjax.conversion.load_or_convert",
    "save": "samjax.models.directory.save",
    "segment": "samjax.inference.segment",
    "to_torch": "samjax.conversion.to_torch",
    "train": "samjax.training.loop.train",
}


def __getattr__(name: str) -> Any:
    """Imports a public name on first use, so that `import samjax` is quick."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in _HOMES:
        return importlib.import_module(f"samjax.{name}")
    module, _, attribute = _HOMES[name].rpartition(".")
    value = globals()[name] = getattr(importlib.import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    """Lists the public names."""
    return sorted(__all__)
