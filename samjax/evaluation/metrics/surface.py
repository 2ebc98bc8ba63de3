"""Distances between the surfaces of two masks, in 2D and 3D, with spacing.

Distances go from every surface element (`surface_elements`) to the nearest one of the other mask,
both ways, and elements count by their length or area (`CONVENTIONS`). Libraries differ here by as
much as 100 mm for one pair of masks, so the conventions stand in every report.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from samjax.evaluation.metrics.surface_elements import elements

CONVENTIONS = {
    "surface": "elements of marching squares (3D: marching cubes) at the common corners of pixels "
    "inside and outside, weighted by length (area); beyond the image is outside",
    "hd": "largest distance from an element to the nearest one of the other mask, of both "
    "directions the larger",
    "hd95": "smallest distance that at least 95 % of the length (area) does not exceed, in each "
    "direction; of both the larger",
    "assd": "mean distance of the elements of both masks, weighted by length (area)",
    "nsd": "share of the length (area) of both surfaces that is no farther from the other than the "
    "tolerance in the metric's name",
    "hd_border": "COSMOS: as hd, between the centres of border pixels (mask without its erosion by "
    "4-neighbours, 6 in 3D), unweighted",
    "volume_error": "(predicted - true) / true number of voxels",
    "one mask empty": "distances are the diagonal of the image or volume, nsd is 0",
    "both masks empty": "distances are 0, nsd is 1",
}


@dataclasses.dataclass(frozen=True)
class Surface:
    """The surface of a mask.

    Attributes:
        elements: Positions of its elements.
        sizes: Their lengths or areas, (n,).
        border: Centres of its border pixels.
        diagonal: Diagonal of the image or volume.
    """

    elements: KDTree
    sizes: np.ndarray
    border: KDTree
    diagonal: float


def surface_of(mask: np.ndarray, spacing: Sequence[float]) -> Surface:
    """Returns the surface of a boolean mask, (h, w) or (d, h, w).

    Args:
        mask: The mask.
        spacing: Distance of pixels along each axis, in the unit of the results.

    Raises:
        ValueError: The mask has other axes than the spacing, or a spacing is not above 0.
    """
    scale = tuple(map(float, spacing))
    if mask.ndim not in (2, 3) or len(scale) != mask.ndim or min(scale) <= 0:
        raise ValueError(
            f"spacing: expected a length above 0 for each of 2 or 3 axes of the mask, found "
            f"{scale} for the shape {mask.shape}"
        )
    diagonal = float(np.linalg.norm(np.multiply(mask.shape, scale)))
    if not mask.any():
        nothing = np.zeros((0, mask.ndim))
        return Surface(_tree(nothing), np.zeros(0), _tree(nothing), diagonal)
    box = _extent(mask)
    first = np.multiply([part.start for part in box], scale)
    cut = mask[box]
    positions, sizes = elements(cut, scale)
    border = np.argwhere(cut & ~ndimage.binary_erosion(cut)) * np.array(scale)
    return Surface(_tree(positions + first), sizes, _tree(border + first), diagonal)


def measure(
    truth: np.ndarray,
    predictions: Sequence[np.ndarray],
    spacing: Sequence[float],
    tolerances: Sequence[float],
) -> list[dict[str, float]]:
    """Compares predicted masks with the true one.

    Args:
        truth: The true mask, (h, w) or (d, h, w) bool.
        predictions: Predicted masks of its shape.
        spacing: Distance of pixels along each axis, in the unit of the results; pixels: 1.
        tolerances: Tolerances of the normalised surface Dice, in that unit.

    Returns:
        For each prediction `hd`, `hd95`, `assd`, `hd_border` and `nsdT` for each tolerance `T`, see
        `CONVENTIONS`.

    Raises:
        ValueError: A prediction has another shape than the truth, or the spacing does not suit it.
    """
    for predicted in predictions:
        if predicted.shape != truth.shape:
            raise ValueError(
                f"predicted mask: expected the shape of the true one, {truth.shape}, found "
                f"{predicted.shape}"
            )
    true = surface_of(truth, spacing)
    return [compare(true, surface_of(each, spacing), tolerances) for each in predictions]


def compare(true: Surface, predicted: Surface, tolerances: Sequence[float]) -> dict[str, float]:
    """Compares two surfaces in the same image; the result of `measure` for one prediction."""
    empty = not len(true.sizes), not len(predicted.sizes)
    if any(empty):
        distance, share = (0.0, 1.0) if all(empty) else (true.diagonal, 0.0)
        found = dict.fromkeys(("hd", "hd95", "assd", "hd_border"), distance)
        return found | {nsd_name(tolerance): share for tolerance in tolerances}
    distances = _nearest(true.elements, predicted.elements)
    sizes = true.sizes, predicted.sizes
    both, of_both = np.concatenate(distances), np.concatenate(sizes)
    found = {
        "hd": float(both.max()),
        "hd95": max(map(_percentile95, distances, sizes)),
        "assd": float(np.average(both, weights=of_both)),
        "hd_border": float(np.concatenate(_nearest(true.border, predicted.border)).max()),
    }
    for tolerance in tolerances:
        within = of_both[both <= tolerance].sum() / of_both.sum()
        found[nsd_name(tolerance)] = float(within)
    return found


def volume_error(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Returns the relative error of the volume; that of an empty true mask is that of one voxel."""
    true = int(truth.sum())
    return (int(predicted.sum()) - true) / max(true, 1)


def nsd_name(tolerance: float) -> str:
    """Returns the name of the normalised surface Dice at a tolerance, such as `nsd1.5`."""
    return f"nsd{tolerance:g}"


def _extent(mask: np.ndarray) -> tuple[slice, ...]:
    """Returns the part of its array that a mask occupies, several times as fast as SciPy."""
    axes = range(mask.ndim)
    along = (mask.any(axis=tuple(a for a in axes if a != axis)) for axis in axes)
    occupied = map(np.flatnonzero, along)
    return tuple(slice(int(at[0]), int(at[-1]) + 1) for at in occupied)


def _tree(points: np.ndarray) -> KDTree:
    # Neither option is worth its time: the points lie on lines, and are asked once.
    return KDTree(points, compact_nodes=False, balanced_tree=False)


def _nearest(one: KDTree, two: KDTree) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distance of every point to the nearest one of the other set, both ways."""
    return two.query(one.data)[0], one.query(two.data)[0]


def _percentile95(distances: np.ndarray, sizes: np.ndarray) -> float:
    order = np.argsort(distances)
    share = np.cumsum(sizes[order]) / sizes.sum()
    return float(distances[order][min(np.searchsorted(share, 0.95), len(order) - 1)])
