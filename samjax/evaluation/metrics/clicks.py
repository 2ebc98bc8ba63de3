"""Number of clicks, and areas under curves over clicks."""

from collections.abc import Mapping, Sequence

import numpy as np

TARGETS = (80, 85, 90)  # IoU to reach, percent.


def summarise(curves: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Returns what interactive segmentation reports of one mask.

    Args:
        curves: Values after every click by metric: `iou`, `dice`, perhaps `nsd...`.

    Returns:
        `nocT`: number of clicks until the IoU is at least T percent (RITM, section 4), that of all
        clicks where it never is; `failedT`: 1 there, otherwise 0; `dice_auc`, and the same of every
        NSD: area under the curve (`normalised_area`).
    """
    iou = np.asarray(curves["iou"])
    found: dict[str, float] = {}
    for target in TARGETS:
        reached = np.flatnonzero(100 * iou >= target)
        found[f"noc{target}"] = float(reached[0] + 1 if len(reached) else len(iou))
        found[f"failed{target}"] = float(not len(reached))
    for metric, values in curves.items():
        if metric == "dice" or metric.startswith("nsd"):
            found[f"{metric}_auc"] = normalised_area(values)
    return found


def normalised_area(values: Sequence[float]) -> float:
    """Returns the area under a curve over clicks by trapezoids, over the number of intervals.

    It is in the range of the values; of a single value it is the value itself.
    """
    curve = np.asarray(values, float)
    between = (curve[1:] + curve[:-1]) / 2
    return float(between.mean() if len(between) else curve[0])
