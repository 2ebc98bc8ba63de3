"""Contours, segments and label volumes lie where they were drawn, however slices are stacked."""

import numpy as np
import pytest
from dicom_files import base, with_pixels, write_segmentation, write_structures

from samjax import extra
from samjax.curation import curate, discover, formats
from samjax.curation.case import CaseError
from samjax.curation.options import CurationOptions

pydicom = extra.require("pydicom", "data")
STORED = CurationOptions(orientation="stored")
AXIAL = ((1, 0, 0), (0, 1, 0))
SAGITTAL = ((0, 1, 0), (0, 0, -1))
OBLIQUE = ((0.8, 0.6, 0), (-0.36, 0.48, -0.8))
CENTRE, RADIUS, LENGTH = np.array([20.0, 10.0, 5.0]), 9.0, 12.0
SIZE, SPACING, GAP = (40, 36, 10), np.array([1.0, 1.25]), 3.0


def places(axes, tilt=(0.0, 0.0), uneven=0.0):
    """Returns positions of each slice's first pixel, tilted along rows and columns, degrees."""
    along_row, along_column = np.array(axes, float)
    step = np.cross(along_row, along_column)
    step = step + sum(
        np.tan(np.radians(angle)) * axis
        for angle, axis in zip(tilt, (along_row, along_column), strict=True)
    )
    heights = GAP * np.arange(SIZE[2]) * 1.0
    heights[SIZE[2] // 2 :] += uneven
    middle = (SIZE[0] - 1) / 2 * along_row + (SIZE[1] - 1) / 2 * 1.25 * along_column
    first = CENTRE - middle - heights.mean() * step
    return first + heights[:, None] * step


def write_stack(folder, axes, positions, uid="1.2.3", frame="1.2.3.1"):
    """Writes slices in which the ball is bright."""
    folder.mkdir(parents=True)
    files = []
    for number, position in enumerate(positions):
        data = with_pixels(base(uid), np.where(ball(axes, position), 900, 100))
        data.FrameOfReferenceUID = frame
        data.ImagePositionPatient = [round(float(x), 6) for x in position]
        data.ImageOrientationPatient = [float(x) for x in np.ravel(axes)]
        data.PixelSpacing = [float(SPACING[1]), float(SPACING[0])]
        data.SliceThickness = 3
        files.append(folder / f"{(7 * number + 3) % 100:02d}.dcm")
        data.save_as(files[-1], enforce_file_format=True)
    return files


def ball(axes, position, shift=0.0):
    """Returns a mask of a slice's pixels, (rows, columns), whose centres are in the ball."""
    columns, rows = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    across, down = np.array(axes, float)
    points = (
        position + columns[..., None] * across * SPACING[0] + rows[..., None] * down * SPACING[1]
    )
    return np.linalg.norm(points - CENTRE, axis=2) < RADIUS + shift


def circle(axes, position):
    """Returns the ball's outline in the plane of a slice, mm; None outside the ball."""
    across, down = np.array(axes, float)
    normal = np.cross(across, down)
    away = float((position - CENTRE) @ normal)
    if abs(away) >= RADIUS:
        return None
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)[:, None]
    inner = np.sqrt(RADIUS**2 - away**2)
    return CENTRE + away * normal + inner * (np.cos(angles) * across + np.sin(angles) * down)


def outlines(axes, positions):
    return [found for found in (circle(axes, p) for p in positions) if found is not None]


def read(root, options=STORED):
    found = discover.discover(root, options)
    assert not found.problems, found.problems
    (source,) = found.sources
    return source, formats.read(root, source, options)


def is_on_the_ball(case, axes, positions, few=6):
    """Whether masks are the ball on every slice, but for a few pixels at its very edge."""
    for number, position in enumerate(positions):
        mask = case.labels[0].values[:, :, number].T > 0
        assert np.count_nonzero(mask & ~ball(axes, position, 0.05)) == 0
        assert np.count_nonzero(~mask & ball(axes, position, -0.05)) == 0
        bright = case.image[:, :, number].T > 500
        assert np.count_nonzero(mask != bright) <= few


STACKS = pytest.mark.parametrize(
    ("axes", "tilt", "uneven"),
    [
        (AXIAL, (0, 0), 0),
        (AXIAL, (0, 15), 0),
        (AXIAL, (-30, 0), 0),
        (AXIAL, (12, -20), 0),
        (AXIAL, (0, 0), 0.25),  # A gap of 3.25 mm among those of 3.
        (SAGITTAL, (0, 0), 0),
        (SAGITTAL, (10, 5), 0),
        (OBLIQUE, (0, 0), 0),
        (OBLIQUE, (0, 15), 0),
    ],
)


@STACKS
@pytest.mark.parametrize("labels", ["RTSTRUCT", "SEG", "NIfTI"])
def test_labels_are_on_their_own_slices(tmp_path, axes, tilt, uneven, labels):
    positions = places(axes, tilt, uneven)
    files = write_stack(tmp_path / "p1", axes, positions)
    masks = np.stack([ball(axes, position) for position in positions])
    if labels == "RTSTRUCT":
        write_structures(tmp_path / "rs.dcm", outlines(axes, positions))
    elif labels == "SEG":
        write_segmentation(tmp_path / "seg.dcm", files, masks)
    else:
        write_label_volume(tmp_path / "p1_mask.nii.gz", axes, positions, masks)
    _, case = read(tmp_path)
    is_on_the_ball(case, axes, positions)


def write_label_volume(path, axes, positions, masks, straight=False):
    """Writes (slice, row, column), sheared as the slices are or, by mistake, `straight`."""
    nibabel = extra.require("nibabel", "data")
    affine = np.eye(4)
    affine[:3, :2] = np.array(axes, float).T * SPACING
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(positions) - 1)
    if straight:
        affine[:3, 2] = np.cross(*np.array(axes, float)) * GAP
    affine[:3, 3] = positions[0]
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    image = nibabel.Nifti1Image(masks.transpose(2, 1, 0).astype(np.uint8), to_ras @ affine)
    nibabel.save(image, path)


def test_a_label_volume_that_ignores_the_tilt_is_refused(tmp_path):
    positions = places(AXIAL, (0, 15))
    write_stack(tmp_path / "p1", AXIAL, positions)
    masks = np.stack([ball(AXIAL, position) for position in positions])
    write_label_volume(tmp_path / "p1_mask.nii.gz", AXIAL, positions, masks, straight=True)
    with pytest.raises(CaseError, match=r"p1_mask.nii.gz: expected labels at the image's place"):
        read(tmp_path)


@pytest.mark.parametrize("form", ["DICOM", "NIfTI"])
def test_slices_that_would_be_no_rectangles_are_left_out_and_reported(tmp_path, form):
    """From side to side through a tilted CT; those from front to back are rectangles."""
    positions = places(AXIAL, (0, 15))
    masks = np.stack([ball(AXIAL, position) for position in positions])
    if form == "DICOM":
        write_stack(tmp_path / "p1", AXIAL, positions)
        write_structures(tmp_path / "rs.dcm", outlines(AXIAL, positions))
    else:
        write_label_volume(tmp_path / "p1_image.nii.gz", AXIAL, positions, masks)
        write_label_volume(tmp_path / "p1_mask.nii.gz", AXIAL, positions, masks)
    options = CurationOptions(smallest_share=0)
    source, case = read(tmp_path, options)
    counts = curate.Counts()
    kept = {one.axis for one in curate.slices_of(case, source, options, counts)}
    assert kept == {"z"}  # Those across y are too long for their width.
    assert counts.left_out == {"slices at no right angle, as the volume is tilted": SIZE[0]}


def test_slices_off_the_line_are_refused(tmp_path):
    positions = places(AXIAL)
    positions[4, 0] += 2
    write_stack(tmp_path / "p1", AXIAL, positions)
    write_structures(tmp_path / "rs.dcm", outlines(AXIAL, positions))
    with pytest.raises(
        CaseError, match=r"31.dcm: expected slices along one line, found it 2.00 mm"
    ):
        read(tmp_path)


@pytest.mark.parametrize("tiny", [-0.0, -2e-10, 4e-4])
def test_rounding_makes_no_other_orientation(tmp_path, tiny):
    positions = places(AXIAL)
    files = write_stack(tmp_path / "p1", AXIAL, positions)
    for path in files[::2]:
        data = pydicom.dcmread(path)
        data.ImageOrientationPatient = [1, tiny, 0, 0, 1, tiny]
        data.PixelSpacing = [1.2500001, 1]
        data.ImagePositionPatient[0] += tiny
        data.save_as(path)
    write_structures(tmp_path / "rs.dcm", outlines(AXIAL, positions))
    is_on_the_ball(read(tmp_path)[1], AXIAL, positions)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PixelSpacing", [0, 1], r"PixelSpacing: expected two lengths, found \[1.0, 0.0\]"),
        ("ImagePositionPatient", [0, 1], "ImagePositionPatient: expected 3 numbers, found"),
        (
            "ImageOrientationPatient",
            [1, 0, 0, 1, 0, 0],
            "ImageOrientationPatient: expected two unit vectors at a right ang",
        ),
    ],
)
def test_a_slice_without_a_sound_place_is_named(tmp_path, name, value, message):
    positions = places(AXIAL)
    path = write_stack(tmp_path / "p1", AXIAL, positions)[3]
    data = pydicom.dcmread(path)
    setattr(data, name, value)
    data.save_as(path)
    write_structures(tmp_path / "rs.dcm", outlines(AXIAL, positions))
    with pytest.raises(CaseError, match=rf"{path.name}: {message}"):
        read(tmp_path)


# Contours of cylinders on straight slices, 3 mm apart; the first slice's first pixel is the origin.
def square(low, high, height):
    edges = [(low, low), (high, low), (high, high), (low, high)]
    return [(x - 0.5, 1.25 * (y - 0.5), height) for x, y in edges]


@pytest.fixture
def straight(tmp_path):
    positions = np.zeros((SIZE[2], 3))
    positions[:, 2] = GAP * np.arange(SIZE[2])
    write_stack(tmp_path / "p1", AXIAL, positions)
    return tmp_path


def slices_with(case, low, high):
    """Returns the slices whose mask is exactly a square."""
    expected = np.zeros(SIZE[:2], bool)
    expected[low:high, low:high] = True
    masks = case.labels[0].values > 0
    shown = [z for z in range(SIZE[2]) if masks[:, :, z].any()]
    for z in shown:
        np.testing.assert_array_equal(masks[:, :, z], expected)
    return shown


@pytest.mark.parametrize(
    ("first", "count", "step", "shown", "unused"),
    [
        (6.0, 5, 3.0, [2, 3, 4, 5, 6], 0),  # On the slices.
        (6.4, 15, 1.5, [2, 3, 4, 5, 6, 7, 8, 9], 7),  # 6.4 mm to 27.4 mm.
        (5.7, 11, 1.0, [2, 3, 4, 5], 7),
        (7.5, 4, 3.0, [2, 3, 4, 5], 0),  # Half way: as many slices as contours.
        (7.4, 4, 3.0, [2, 3, 4, 5], 0),
        (6.0, 3, 6.0, [2, 4, 6], 0),  # On every other slice only.
        (6.0, 3, 4.5, [2, 3, 4, 5], 0),
        (13.0, 1, 3.0, [4], 0),
    ],
)
def test_contours_between_slices_do_not_cancel(straight, first, count, step, shown, unused):
    heights = first + step * np.arange(count)
    write_structures(straight / "rs.dcm", [square(5, 15, height) for height in heights])
    _, case = read(straight)
    assert slices_with(case, 5, 15) == shown
    assert case.left_out == ({"contours between slices": unused} if unused else {})


def test_the_nearest_plane_of_contours_counts(straight):
    """Not their sum, nor their difference."""
    drawn = [square(5, 15, 12.0), square(3, 20, 13.0), square(2, 22, 14.0), square(5, 15, 15.0)]
    write_structures(straight / "rs.dcm", drawn)
    _, case = read(straight)
    assert slices_with(case, 5, 15) == [4, 5]
    assert case.left_out == {"contours between slices": 2}


@pytest.mark.parametrize("again", ["same", "backwards", "from another corner", "rounded", "closed"])
def test_a_contour_that_is_there_twice_counts_once(straight, again):
    one = square(5, 15, 12.0)
    two = {
        "same": one,
        "backwards": one[::-1],
        "from another corner": one[2:] + one[:2],
        "rounded": [(x + 0.01, y - 0.01, z + 0.01) for x, y, z in one],
        "closed": [*one, one[0]],
    }[again]
    write_structures(straight / "rs.dcm", [one, two])
    _, case = read(straight)
    assert slices_with(case, 5, 15) == [4]
    assert case.left_out == {"contours that were there twice": 1}


def test_a_keyhole_is_a_hole(straight):
    """In along an edge and out along the same one, exactly through pixels' centres."""
    outer, inner = square(5, 15, 12.0), square(8, 12, 12.0)
    bridge = [(4.5, 10 * 1.25, 12.0), (7.5, 10 * 1.25, 12.0)]
    keyhole = [
        *outer,
        bridge[0],
        bridge[1],
        *inner[::-1][:0],
        inner[0],
        inner[1],
        inner[2],
        inner[3],
    ]
    keyhole += [bridge[1], bridge[0]]
    write_structures(straight / "rs.dcm", [keyhole])
    values = read(straight)[1].labels[0].values[:, :, 4]
    expected = np.zeros(SIZE[:2])
    expected[5:15, 5:15] = 1
    expected[8:12, 8:12] = 0
    np.testing.assert_array_equal(values, expected)


def test_contours_that_cannot_be_filled_are_counted(straight):
    drawn = [square(5, 15, 12.0), square(5, 15, 60.0), square(5, 15, -3.0)]
    write_structures(straight / "rs.dcm", drawn)
    data = pydicom.dcmread(straight / "rs.dcm")
    for kind in ("POINT", "OPEN_PLANAR", "CLOSEDPLANAR_XOR"):
        contour = pydicom.Dataset()
        contour.ContourGeometricType = kind
        corners = square(20, 25, 15.0)[: 1 if kind == "POINT" else 4]
        contour.ContourData = [float(x) for x in np.ravel(corners)]
        data.ROIContourSequence[0].ContourSequence.append(contour)
    data.save_as(straight / "rs.dcm")
    _, case = read(straight)
    masks = case.labels[0].values > 0
    assert masks[5:15, 5:15, 4].all()
    assert masks[20:25, 20:25, 5].all()
    assert np.count_nonzero(masks) == 10 * 10 + 5 * 5
    assert case.left_out == {
        "contours off all slices": 2,
        "contours that enclose nothing (points, open lines)": 2,
    }
