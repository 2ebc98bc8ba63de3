import numpy as np
import pytest
import surface_distance
from scipy import ndimage
from scipy.spatial.distance import directed_hausdorff
from surface_distance import lookup_tables

from samjax.evaluation.metrics import surface, surface_elements

TOLERANCES = (0.5, 1.0, 2.5)


def random_mask(rng, shape):
    """A mask of a kind drawn at random: a pixel, a box, noise, outlines, blobs at the border."""
    kind = rng.integers(6)
    if kind == 0:
        mask = np.zeros(shape, bool)
        mask[tuple(rng.integers(size) for size in shape)] = True
        return mask
    if kind == 1:
        low = [rng.integers(size) for size in shape]
        high = [rng.integers(at + 1, size + 1) for at, size in zip(low, shape, strict=True)]
        mask = np.zeros(shape, bool)
        mask[tuple(map(slice, low, high))] = True
        return mask
    if kind == 2:
        return rng.random(shape) < rng.uniform(0.05, 0.95)  # Hundreds of ambiguous corners.
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(0.7, 3))
    mask = noise > np.quantile(noise, rng.uniform(0.05, 0.95))
    return ndimage.binary_dilation(mask) & ~mask if kind == 3 else mask


def judged(truth, predicted, spacing):
    """The same metrics by DeepMind's library."""
    found = surface_distance.compute_surface_distances(truth, predicted, spacing)
    both = [
        (found["distances_gt_to_pred"], found["surfel_areas_gt"]),
        (found["distances_pred_to_gt"], found["surfel_areas_pred"]),
    ]
    values = {f"hd{p}": surface_distance.compute_robust_hausdorff(found, p) for p in (95, 100)}
    values["hd"] = values.pop("hd100")
    total = sum(areas.sum() for _, areas in both)
    values["assd"] = sum((distance * areas).sum() for distance, areas in both) / total
    for tolerance in TOLERANCES:
        nsd = surface_distance.compute_surface_dice_at_tolerance(found, tolerance)
        values[f"nsd{tolerance:g}"] = nsd
    return values


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Of the judge.
@pytest.mark.parametrize(("shape", "pairs"), [((31, 24), 200), ((9, 12, 10), 60)], ids=["2d", "3d"])
def test_metrics_are_those_of_surface_distance(shape, pairs):
    rng = np.random.default_rng(len(shape))
    for number in range(pairs):
        truth, predicted = random_mask(rng, shape), random_mask(rng, shape)
        if not truth.any() or not predicted.any():
            continue
        spacing = rng.uniform(0.3, 4, len(shape)) if number % 2 else np.ones(len(shape))
        (found,) = surface.measure(truth, [predicted], spacing.tolist(), TOLERANCES)
        for name, value in judged(truth, predicted, spacing.tolist()).items():
            assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-9), (number, name)


@pytest.mark.parametrize("spacing", [(1, 1), (0.7, 3), (1, 1, 1), (5, 0.7, 0.7), (1, 2, 3)])
def test_sizes_of_all_elements_are_those_of_surface_distance(spacing):
    if len(spacing) == 2:
        kernel = lookup_tables.ENCODE_NEIGHBOURHOOD_2D_KERNEL
        table = lookup_tables.create_table_neighbour_code_to_contour_length(spacing)
    else:
        kernel = lookup_tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL
        table = lookup_tables.create_table_neighbour_code_to_surface_area(spacing)
    bits = np.ravel(kernel)
    codes = [sum(int(b) for i, b in enumerate(bits) if code >> i & 1) for code in range(len(table))]
    found = surface_elements.sizes(tuple(map(float, spacing)))
    np.testing.assert_allclose(found, np.asarray(table)[codes], rtol=1e-12)


@pytest.mark.parametrize("shape", [(31, 24), (9, 12, 10)])
def test_hausdorff_distance_of_border_pixels_is_that_of_scipy(shape):
    rng = np.random.default_rng(7)
    for _ in range(60):
        masks = [random_mask(rng, shape) for _ in range(2)]
        if not all(mask.any() for mask in masks):
            continue
        spacing = rng.uniform(0.3, 4, len(shape))
        borders = [np.argwhere(m & ~ndimage.binary_erosion(m)) * spacing for m in masks]
        expected = max(directed_hausdorff(*borders)[0], directed_hausdorff(*borders[::-1])[0])
        (found,) = surface.measure(masks[0], masks[1:], spacing.tolist(), ())
        assert found["hd_border"] == pytest.approx(expected)


def test_squares_at_a_known_distance():
    truth, predicted = np.zeros((2, 20, 20), bool)
    truth[5:10, 5:10] = predicted[5:10, 8:13] = True
    (found,) = surface.measure(truth, [predicted], (1, 1), (2, 3))
    assert found["hd"] == found["hd_border"] == 3 and found["nsd3"] == 1
    (in_mm,) = surface.measure(truth, [predicted], (0.5, 2), (6,))
    assert in_mm["hd"] == 6 and in_mm["nsd6"] == 1
    (same,) = surface.measure(truth, [truth], (1, 1), (0,))
    assert same == {"hd": 0, "hd95": 0, "assd": 0, "hd_border": 0, "nsd0": 1}


def test_length_of_a_square_and_area_of_a_cube_have_cut_corners():
    _, lengths = surface_elements.elements(np.ones((3, 5), bool), (1.0, 1.0))
    assert lengths.sum() == pytest.approx(2 * (2 + 4) + 4 * np.sqrt(0.5))
    assert surface_elements.sizes((1.0, 2.0, 3.0))[0b00001111] == pytest.approx(6)


@pytest.mark.parametrize("shape", [(6, 8), (2, 6, 8)])
def test_an_empty_mask_has_a_declared_score(shape):
    empty, one = np.zeros(shape, bool), np.zeros(shape, bool)
    one.flat[13] = True
    spacing = (2.0,) * len(shape)
    diagonal = 2 * float(np.linalg.norm(shape))
    for truth, predicted in ((empty, one), (one, empty)):
        (found,) = surface.measure(truth, [predicted], spacing, (1,))
        assert found == {
            **dict.fromkeys(("hd", "hd95", "assd", "hd_border"), pytest.approx(diagonal)),
            "nsd1": 0,
        }
    (both,) = surface.measure(empty, [empty], spacing, (1,))
    assert both == {"hd": 0, "hd95": 0, "assd": 0, "hd_border": 0, "nsd1": 1}
    assert surface.volume_error(one, empty) == -1 and surface.volume_error(empty, one) == 1


def test_a_mask_that_fills_the_image_has_its_border_as_surface():
    full = np.ones((4, 6), bool)
    inner = np.zeros_like(full)
    inner[1:3, 1:5] = True
    (found,) = surface.measure(full, [inner], (1, 1), (1,))
    assert found["hd_border"] == pytest.approx(np.sqrt(2)) and found["hd"] > 1


def test_mistakes_are_clear():
    mask = np.ones((4, 6), bool)
    with pytest.raises(ValueError, match=r"expected the shape of the true one, \(4, 6\), found"):
        surface.measure(mask, [mask[:3]], (1, 1), (1,))
    for spacing in ((1, 0), (1, 1, 1)):
        with pytest.raises(ValueError, match=r"spacing: expected a length above 0 for each"):
            surface.measure(mask, [mask], spacing, (1,))
