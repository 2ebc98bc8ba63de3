import dataclasses
import gzip
import itertools

import cv2
import nibabel
import numpy as np
import pytest

from samjax import extra
from samjax.curation import curate, formats, rules
from samjax.curation.case import CaseError, CaseSource
from samjax.curation.formats import geometry
from samjax.curation.formats.geometry import Volume
from samjax.curation.options import CurationOptions, Dataset

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def source(image="image.nii.gz", label="label.nii.gz", reader="nifti", **known):
    return CaseSource(
        reader, "case", "case", "set", "ct_00", (image,), ((label, ""),), known=Dataset(**known)
    )


def save(path, values, affine=None):
    nibabel.save(nibabel.Nifti1Image(values, LPS if affine is None else affine), path)


def slices(root, one, options=CurationOptions()):  # noqa: B008
    case = formats.read(root, one, options)
    return {(s.axis, s.number): s for s in curate.slices_of(case, one, options, curate.Counts())}


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
@pytest.mark.parametrize("flips", [(), (0,), (1, 2), (0, 1, 2)])
def test_slices_do_not_depend_on_how_a_volume_is_stored(tmp_path, volume, order, flips):
    affine = np.diag([-1.5, -1.0, 2.0, 1.0])
    affine[:3, 3] = (40, 30, -20)
    for name, values in zip(("image", "label"), volume, strict=True):
        save(tmp_path / f"{name}.nii.gz", values, affine)
    expected = slices(tmp_path, source())
    start = nibabel.orientations.io_orientation(affine)
    turn = np.array([[order[i], -1 if i in flips else 1] for i in range(3)])
    for name, values in zip(("image", "label"), volume, strict=True):
        turned = nibabel.orientations.apply_orientation(values, turn)
        back = nibabel.orientations.inv_ornt_aff(turn, values.shape)
        save(tmp_path / f"{name}.nii.gz", turned, affine @ back)
    assert start.shape == turn.shape
    found = slices(tmp_path, source())
    assert found.keys() == expected.keys()
    for place, one in found.items():
        np.testing.assert_array_equal(one.image, expected[place].image)
        assert one.spacing == pytest.approx(expected[place].spacing)
        assert [name for name, _ in one.masks] == [name for name, _ in expected[place].masks]
        for (_, mask), (_, other) in zip(one.masks, expected[place].masks, strict=True):
            np.testing.assert_array_equal(mask, other)


def test_slices_are_upright(tmp_path):
    """To the patient's left along the columns, to the back or to the feet along the rows."""
    values = np.zeros((20, 20, 20), np.uint8)
    values[15:, 2:4, 16:] = 1  # RAS: on the right end of x... to the left of the patient is low x.
    save(tmp_path / "image.nii.gz", values * 100, np.eye(4))
    save(tmp_path / "label.nii.gz", values, np.eye(4))
    found = slices(tmp_path, source())
    axial = next(s for (axis, _), s in found.items() if axis == "z").masks[0][1]
    rows, columns = np.nonzero(axial)
    assert rows.min() >= 16  # Low y is the back: at the bottom.
    assert columns.max() <= 4  # High x is the patient's right: on the left of the picture.
    coronal = next(s for (axis, _), s in found.items() if axis == "y").masks[0][1]
    assert np.nonzero(coronal)[0].max() <= 3  # High z is the head: at the top.


def test_stored_slices_are_as_the_array_is(tmp_path, volume):
    save(tmp_path / "image.nii.gz", volume[0], np.eye(4))
    save(tmp_path / "label.nii.gz", volume[1], np.eye(4))
    found = slices(tmp_path, source(), CurationOptions(orientation="stored"))
    mask = found["z", 9].masks[0][1]
    np.testing.assert_array_equal(mask, (volume[1][:, :, 9] == 1).T)


def test_slope_and_intercept_are_applied(tmp_path, volume):
    image = nibabel.Nifti1Image(volume[0], LPS)
    image.header.set_slope_inter(2.0, -50.0)
    nibabel.save(image, tmp_path / "image.nii.gz")
    save(tmp_path / "label.nii.gz", volume[1])
    case = formats.read(tmp_path, source(), CurationOptions(orientation="stored"))
    np.testing.assert_allclose(case.image, 2.0 * volume[0] - 50, atol=1e-3)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_nrrd_and_metaimage_are_read_as_nifti(tmp_path, volume, suffix):
    sitk = extra.require("SimpleITK", "data")
    affine = np.diag([-0.5, -1.0, 2.0, 1.0])
    affine[:3, 3] = (10, 20, 30)
    for name, values in zip(("image", "label"), volume, strict=True):
        save(tmp_path / f"{name}.nii.gz", values, affine)
        image = sitk.GetImageFromArray(values.transpose(2, 1, 0))
        image.SetSpacing((0.5, 1.0, 2.0))
        image.SetOrigin((-10, -20, 30))
        sitk.WriteImage(image, str(tmp_path / f"{name}{suffix}"))
    expected = slices(tmp_path, source())
    found = slices(tmp_path, source(f"image{suffix}", f"label{suffix}", "itk"))
    assert found.keys() == expected.keys()
    for place, one in found.items():
        np.testing.assert_array_equal(one.image, expected[place].image)
        assert one.spacing == pytest.approx(expected[place].spacing)


@pytest.mark.parametrize(
    ("window", "seen"),
    [
        ("organ", {"ct_lung": {"lung_left"}, "ct_liver": {"liver"}}),
        ({"liver": "bone"}, {"ct_00": {"lung_left"}, "ct_bone": {"liver"}}),
        ("brain", {"ct_00": {"liver", "lung_left"}}),
    ],
)
def test_in_ct_every_organ_has_its_own_window(tmp_path, volume, window, seen):
    for name, values in zip(("image", "label"), volume, strict=True):
        save(tmp_path / f"{name}.nii.gz", values)
    classes = {"liver": 1, "lung_left": 2}
    one = source(window=window, classes=classes)
    numbers = {name: number for number, name in enumerate(classes, start=1)}
    case = formats.read(tmp_path, one, CurationOptions())
    bounds = {token: rules.WINDOWS[token[3:]] for token in seen if token != "ct_00"}
    if window == "brain":
        bounds["ct_00"] = rules.WINDOWS["brain"]
    found, places = {}, set()
    for files, rows in curate.curate(tmp_path, one, CurationOptions(), numbers, curate.Counts()):
        first = rows[0]
        assert {row.image for row in rows} == {first.image}
        assert first.image.startswith(f"images/{first.modality}--set--case--{first.axis}_")
        found.setdefault(first.modality, set()).update(row.class_name for row in rows)
        places.add((first.axis, first.slice))
        image = cv2.imdecode(np.frombuffer(files[first.image], np.uint8), cv2.IMREAD_UNCHANGED)
        plane = rules.cut(case.image, first.axis, first.slice)
        span = bounds.get(first.modality, (case.image.min(), case.image.max()))
        np.testing.assert_array_equal(image, rules.to_uint8(plane, span))
    assert found == seen
    assert places == slices(tmp_path, source()).keys()


@pytest.mark.parametrize("window", ["organ", "brain", {"liver": "liver"}])
def test_named_windows_are_for_ct(tmp_path, volume, window):
    for name, values in zip(("image", "label"), volume, strict=True):
        save(tmp_path / f"{name}.nii.gz", values)
    known = Dataset(window=window, classes={"liver": 1, "lung_left": 2})
    one = dataclasses.replace(source(), modality="mr_t1", known=known)
    plain = dataclasses.replace(one, known=dataclasses.replace(known, window=None))
    expected = slices(tmp_path, plain)
    found = slices(tmp_path, one)
    assert found.keys() == expected.keys()
    for place, other in expected.items():
        np.testing.assert_array_equal(found[place].image, other.image)
        assert found[place].modality == "mr_t1"
    numbers = dataclasses.replace(one, known=dataclasses.replace(known, window=(0.0, 80.0)))
    unknown = dataclasses.replace(one, modality="unknown_00")
    unknown = dataclasses.replace(unknown, known=dataclasses.replace(known, window="brain"))
    volume = formats.read(tmp_path, one, CurationOptions()).image
    for other in (numbers, unknown):
        found = slices(tmp_path, other)
        assert found.keys() == expected.keys()
        for place, seen in found.items():
            plane = rules.to_uint8(rules.cut(volume, *place), (0.0, 80.0))
            np.testing.assert_array_equal(seen.image, plane)


def test_one_label_of_another_place_or_shape_is_refused(tmp_path, volume):
    save(tmp_path / "image.nii.gz", volume[0])
    moved = LPS.copy()
    moved[0, 3] = 3.0
    save(tmp_path / "label.nii.gz", volume[1], moved)
    with pytest.raises(CaseError, match=r"label.nii.gz: expected labels at the image's place, "
                       r"found them up to 3.0 mm away"):  # fmt: skip
        formats.read(tmp_path, source(), CurationOptions())
    save(tmp_path / "label.nii.gz", volume[1][:-1])
    with pytest.raises(CaseError, match=r"shape \(20, 24, 28\), found \(19, 24, 28\)"):
        formats.read(tmp_path, source(), CurationOptions())


def test_rounding_in_a_header_is_forgiven(tmp_path, volume):
    save(tmp_path / "image.nii.gz", volume[0])
    nearly = LPS.copy()
    nearly[:3, 3] += 0.01
    save(tmp_path / "label.nii.gz", volume[1], nearly)
    assert formats.read(tmp_path, source(), CurationOptions()).labels


def test_a_series_of_volumes_is_refused(tmp_path, volume):
    save(tmp_path / "image.nii.gz", np.stack([volume[0]] * 3, axis=-1))
    save(tmp_path / "label.nii.gz", volume[1])
    with pytest.raises(CaseError, match=r"3 dimensions, found \(20, 24, 28, 3\)"):
        formats.read(tmp_path, source(), CurationOptions())
    save(tmp_path / "image.nii.gz", volume[0][..., None])  # One of them is a volume.
    assert formats.read(tmp_path, source(), CurationOptions()).is_volume


@pytest.mark.parametrize("damage", ["cut", "corrupt", "text", "empty"])
def test_a_broken_file_is_named(tmp_path, volume, damage):
    save(tmp_path / "image.nii.gz", volume[0])
    save(tmp_path / "label.nii.gz", volume[1])
    path = tmp_path / "image.nii.gz"
    data = path.read_bytes()
    broken = {
        "cut": data[: len(data) // 2],
        "corrupt": data[:500] + bytes(200) + data[700:],
        "text": gzip.compress(b"no volume at all"),
        "empty": b"",
    }
    path.write_bytes(broken[damage])
    with pytest.raises(CaseError, match=r"image.nii.gz: cannot be read"):
        formats.read(tmp_path, source(), CurationOptions())


def test_an_affine_without_three_axes_is_refused():
    with pytest.raises(CaseError, match="expected an affine with three axes"):
        geometry.anatomical(Volume(np.zeros((2, 2, 2)), np.diag([1.0, 1.0, 0.0, 1.0])))


def test_what_a_library_trips_over_is_a_bad_case(tmp_path, volume, monkeypatch):
    save(tmp_path / "image.nii.gz", volume[0])
    save(tmp_path / "label.nii.gz", volume[1])

    def trip(*_):
        raise ZeroDivisionError("in a library")

    monkeypatch.setattr(formats.volumes, "load", trip)
    with pytest.raises(CaseError, match=r"image.nii.gz: cannot be read: ZeroDivisionError: in a"):
        formats.read(tmp_path, source(), CurationOptions())


def test_three_slices_of_8_bits_are_no_colours(tmp_path):
    values = np.zeros((20, 24, 3), np.uint8)
    values[5:15, 5:15, 1:] = 1
    save(tmp_path / "image.nii.gz", values * 90)
    save(tmp_path / "label.nii.gz", values)
    case = formats.read(tmp_path, source(), CurationOptions(orientation="stored"))
    assert case.is_volume
    np.testing.assert_array_equal(case.image, values * 90)
    np.testing.assert_array_equal(case.labels[0].values, values)


@pytest.mark.parametrize("channels", ["RGB", "RGBA"])
def test_voxels_of_red_green_and_blue_are_colours(tmp_path, volume, channels):
    colours = np.random.default_rng(0).integers(0, 255, (*volume[1].shape, 4), np.uint8)
    values = np.zeros(volume[1].shape, [(channel, "u1") for channel in channels])
    for number, channel in enumerate(channels):
        values[channel] = colours[..., number]
    save(tmp_path / "image.nii.gz", values)
    save(tmp_path / "label.nii.gz", volume[1])
    one = source()
    case = formats.read(tmp_path, one, CurationOptions(orientation="stored"))
    np.testing.assert_array_equal(case.image, colours[..., :3])
    found = slices(tmp_path, one, CurationOptions(orientation="stored"))
    np.testing.assert_array_equal(found["z", 9].image, colours[:, :, 9, :3].swapaxes(0, 1))
