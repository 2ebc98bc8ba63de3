"""samjax: SAM-Med2D, promptable segmentation of 2D medical images, in JAX."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from samjax.conversion import load_any as load
    from samjax.inference import ObjectPrompt, Predictor, segment
    from samjax.pretrained import Pretrained

__all__ = ["ObjectPrompt", "Predictor", "Pretrained", "__version__", "load", "segment"]


def __getattr__(name: str) -> Any:
    """Imports the heavy parts when they are first asked for, so that `import samjax` is quick."""
    match name:
        case "load":
            from samjax.conversion import load_any as value
        case "ObjectPrompt" | "Predictor" | "segment":
            from samjax import inference

            value = getattr(inference, name)
        case "Pretrained":
            from samjax.pretrained import Pretrained as value
        case _:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return value
