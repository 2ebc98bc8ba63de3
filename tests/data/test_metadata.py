import pytest

from samjax.data import metadata
from samjax.data.files import DataError
from samjax.data.metadata import Metadata


@pytest.mark.parametrize(
    ("token", "modality"),
    [
        ("ct_00", "ct"),
        ("ct_cbf", "ct"),
        ("mr_flair", "mr"),
        ("pet_00", "pet"),
        ("x_ray", "x_ray"),
        ("ultrasound_00", "ultrasound"),
        ("fundus_photography", "fundus_photography"),
        ("photo_00", "photo_00"),
    ],
)
def test_tokens_name_the_modalities_of_the_paper(token, modality):
    assert metadata.modality_of(token) == modality


def test_names_of_both_releases_are_understood():
    image = "images/mr_t1--ACDC--patient-7--z_0012.png"
    mask = "masks/mr_t1--ACDC--patient-7--z_0012--0003_001.png"
    expected = Metadata("mr", "ACDC", "patient-7", "left_ventricle", axis="z", slice=12)
    assert metadata.of_mask(image, mask, {3: "left_ventricle"}) == expected
    assert metadata.of_mask(image, mask, {}).class_name == "0003"

    image, mask = "images/amos_0006_90.png", "masks/amos_0006_90_inferior_vena_cava_000.png"
    expected = Metadata(case="amos_0006", class_name="inferior_vena_cava")
    assert metadata.of_mask(image, mask, {}) == expected


def test_other_names_are_their_own_case():
    assert metadata.of_mask("a/scan.png", "b/truth.png", {}) == Metadata(case="scan")
    assert metadata.of_mask("a/scan.png", "b/scan.png", {}) == Metadata(case="scan")


def test_the_table_overrides_the_names(tmp_path):
    (tmp_path / "split.csv").write_text(
        "image,mask,case,modality,anatomy,class\na.png,a_x_0.png,p1,us,thorax,heart\n"
    )
    found = metadata.describe_masks(tmp_path, [("a.png", "a_x_0.png"), ("b.png", "b_liver_0.png")])
    assert found["a_x_0.png"] == Metadata("us", case="p1", class_name="heart", anatomy="thorax")
    assert found["b_liver_0.png"] == Metadata(case="b", class_name="liver")


def test_broken_tables_are_named(tmp_path):
    (tmp_path / "split.csv").write_text("image,label\n")
    with pytest.raises(DataError, match=r"split\.csv: expected the columns image and mask"):
        list(metadata.read_table(tmp_path))
    (tmp_path / "split.csv").write_text("image,mask,case\na,b,c\n\nd,e\n")
    with pytest.raises(DataError, match=r"split\.csv: line 4: expected 3 columns, found 2"):
        list(metadata.read_table(tmp_path))
    (tmp_path / "split.csv").unlink()
    (tmp_path / metadata.CLASSES).write_text('{"liver": "first"}')
    with pytest.raises(DataError, match="expected class name -> number"):
        metadata.describe_masks(tmp_path, [])
    (tmp_path / metadata.CLASSES).write_text("[1]")
    with pytest.raises(DataError, match="expected a JSON object, found a list"):
        metadata.describe_masks(tmp_path, [])
    (tmp_path / metadata.CLASSES).write_text("{")
    with pytest.raises(DataError, match="expected JSON"):
        metadata.describe_masks(tmp_path, [])


def test_a_table_that_is_no_text_is_named(tmp_path):
    (tmp_path / metadata.TABLE).write_bytes(b"image,mask\na.png,\xff\xfe.png\n")
    with pytest.raises(DataError, match=r"split.csv: expected text in UTF-8"):
        list(metadata.read_table(tmp_path))
