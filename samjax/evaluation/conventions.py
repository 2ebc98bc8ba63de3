"""The conventions of a report's metrics, in plain sentences for `report.json`."""

from samjax.evaluation import protocols
from samjax.evaluation.metrics import surface
from samjax.evaluation.protocols.everything import EverythingProtocol
from samjax.evaluation.results import EvalConfig

_ALWAYS = {
    "dice": "2 |A and B| / (|A| + |B|) at the image's own size; 1 where both masks are empty",
    "iou": "|A and B| / |A or B|; 1 where both masks are empty",
    "predicted_iou": "the IoU that the model predicts for the mask that counts",
    "means": "over masks; intervals are 95 % percentile bootstrap over subjects, 1,000 resamples",
}
_ORACLE = {
    "dice_oracle": "Dice of the candidate that is best by the truth: no user has it",
    "oracle_gap": "dice_oracle - dice",
    "chosen_best": "share of masks whose candidate of the highest predicted IoU is the best one",
}
_EVERYTHING = {
    "dice of everything": "of the mask with the highest predicted IoU, the same for all objects",
    "dice_oracle of everything": "of the mask with the highest Dice among all of the image",
    "recall50": "share of objects that any mask of the image finds with an IoU of at least 0.5",
    "masks_found": "masks of an object's image; the mean is over objects, not images",
}
_CLICKS = {
    "noc": "clicks until the IoU at the image's own size is at least the number in the name (%); "
    "20 where it never is",
    "failed": "share of masks that do not reach it with 20 clicks",
    "auc": "area under the curve over 1 to 20 clicks by trapezoids, over 19 intervals",
    "clicks": "centre of the larger error by distance transform (RITM), at the size of the "
    "network's input",
}


def of(config: EvalConfig) -> dict[str, str]:
    """Returns the conventions of all metrics in a report with these settings."""
    found = dict(_ALWAYS)
    if config.oracle:
        found |= _ORACLE
    if "noc" in config.protocols:
        found |= _CLICKS
    if any(isinstance(protocols.find(name), EverythingProtocol) for name in config.protocols):
        found |= _EVERYTHING
    if config.surface:
        found |= surface.CONVENTIONS
        units = {"px": "pixels of the image", "mm": "mm in the slice", "3d": "mm in the volume"}
        found["unit of distances"] = ", ".join(units[kind] for kind in config.surface)
    return found
