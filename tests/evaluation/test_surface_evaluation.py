"""Surface metrics within an evaluation: in pixels, in mm, of volumes, and stopped in between."""

import csv
import json

import cv2
import numpy as np
import pytest

from samjax.data.files import DataError, read_mask
from samjax.data.index import Sample
from samjax.evaluation import EvalConfig, ScoreTable, evaluate, report
from samjax.evaluation.metrics import surface
from samjax.evaluation.progress import EvaluationProgress

PROTOCOLS = ("bbox", "2pt", "bbox_x2", "noc")
SPACING = {"row_spacing": "0.5", "column_spacing": "2", "slice_spacing": "3"}


@pytest.fixture(scope="module")
def slices(folder, tmp_path_factory):
    """Four slices of one size: two volumes with one object each, the second with a gap."""
    root, samples = folder
    target = tmp_path_factory.mktemp("slices")
    rows, found = [], []
    for number, (case, place) in enumerate([("a", 4), ("a", 5), ("b", 1), ("b", 3)]):
        image, mask = f"images/ct--set--{case}--z_{place:04}.png", f"masks/{number}.png"
        for source, name in ((samples[4].image, image), (samples[4].masks[number], mask)):
            (target / name).parent.mkdir(exist_ok=True)
            (target / name).write_bytes((root / source).read_bytes())
        row = {"image": image, "mask": mask, "dataset": "set", "case": case, "class": "liver"}
        rows.append(row | {"axis": "z", "slice": str(place)} | SPACING)
        found.append(Sample(image, (mask,)))
    with (target / "split.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)
    return target, found


@pytest.fixture(scope="module")
def evaluation(tiny, slices):
    config = EvalConfig(PROTOCOLS, surface=("px", "mm", "3d"), tolerances=(1.0, 4.0), workers=0)
    return evaluate(tiny, *slices, config, progress=False)


@pytest.mark.heavy
def test_every_protocol_has_surface_metrics_in_both_units(evaluation):
    for result in evaluation.results:
        for name in PROTOCOLS:
            values = result.scores[name].values
            assert {"hd_px", "hd95_mm", "assd_px", "nsd1_px", "nsd4_mm"} <= values.keys()
            assert values["hd_px"] >= values["hd95_px"] and 0 <= values["nsd4_px"] <= 1
            # 0.5 mm of a row and 2 mm of a column bound what a pixel may become.
            assert 0.5 * values["hd_px"] <= values["hd_mm"] + 1e-9 <= 2 * values["hd_px"] + 1e-6
        curves = result.scores["noc"].steps
        assert len(curves["hd95_px"]) == len(curves["dice"]) == 20
        assert 0 <= result.scores["noc"].values["nsd1_px_auc"] <= 1


@pytest.mark.heavy
def test_volumes_are_made_of_their_slices(evaluation, slices):
    root, samples = slices
    assert [one.slices for one in evaluation.volumes] == [2, 3]
    masks = [read_mask(root / sample.masks[0]) > 0 for sample in samples]
    truth = np.stack([masks[2], np.zeros_like(masks[2]), masks[3]])
    one = evaluation.volumes[1]
    assert one.metadata.case == "b" and set(one.values) == set(PROTOCOLS)
    # An evaluation that predicts nothing has the volume's diagonal as its distance.
    empty = surface.measure(truth, [truth & False], (3.0, 0.5, 2.0), (1.0,))[0]
    assert empty["hd"] == pytest.approx(np.linalg.norm(np.multiply(truth.shape, (3, 0.5, 2))))
    for values in one.values.values():
        assert 0 < values["hd95_mm"] <= values["hd_mm"] <= empty["hd"]
        assert values["volume_error"] >= -1


@pytest.mark.heavy
def test_the_report_has_them_with_their_conventions(evaluation, tmp_path):
    report.write(tmp_path, evaluation, "m", {})
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["volumes"]["count"] == 2 and "hd95_mm" in content["volumes"]["bbox"]
    assert "diagonal" in content["conventions"]["one mask empty"]
    assert len(content["curves"]["noc"]["dice"]) == 20
    page = (tmp_path / "report.md").read_text()
    assert "HD95 (px)" in page and "| Volumes" in page and "NSD, 4 mm (%)" in page
    with (tmp_path / "volumes.csv").open() as file:
        assert [row["case"] for row in csv.DictReader(file)] == ["a", "b"]
    table = ScoreTable.read(tmp_path)
    expected = ScoreTable.of(evaluation.results)
    assert table.columns == expected.columns and [*table.subjects] == [*expected.subjects]
    np.testing.assert_allclose(table.values, expected.values, atol=1e-6)
    assert table.masks[0].metadata == evaluation.results[0].metadata


@pytest.mark.heavy
def test_a_stopped_evaluation_keeps_its_slices(tiny, slices, tmp_path):
    root, samples = slices
    config = EvalConfig(("bbox",), surface=("3d",), workers=0)
    whole = evaluate(tiny, root, samples, config, progress=False)
    with EvaluationProgress(tmp_path) as first:
        evaluate(tiny, root, samples[:3], config, progress=False, resume_from=first)
    with EvaluationProgress(tmp_path) as second:
        again = evaluate(tiny, root, samples, config, progress=False, resume_from=second)
    assert again.volumes == whole.volumes and again.results == whole.results


@pytest.mark.parametrize("kind", ["mm", "3d"])
def test_missing_spacing_is_found_before_anything_is_predicted(tiny, folder, kind):
    with pytest.raises(DataError, match=rf"surface: {kind} needs the columns .* 16 of 16 masks"):
        evaluate(tiny, *folder, EvalConfig(surface=(kind,)), progress=False)


@pytest.mark.heavy
def test_one_pixel_and_the_whole_image_have_defined_scores(tiny, tmp_path):
    """Every protocol, on masks at both ends of what there can be."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    masks = {"pixel": np.zeros((64, 64), np.uint8), "all": np.full((64, 64), 255, np.uint8)}
    masks["pixel"][63, 0] = 255
    cv2.imwrite(str(tmp_path / "images/a.png"), np.full((64, 64), 90, np.uint8))
    for name, mask in masks.items():
        cv2.imwrite(str(tmp_path / f"masks/{name}.png"), mask)
    sample = Sample("images/a.png", tuple(f"masks/{name}.png" for name in masks))
    names = ("noc", "2pt_boundary", "2pt_jittered", "S2", "S3", "S4", "S5", "S6")
    names += ("S5_sides20-30px", "S5_shift20-30px", "S3_points20-30pct", "S2_first0-10px")
    config = EvalConfig(names, select=("score", "oracle"), surface=("px",), draws=2)
    evaluation = evaluate(tiny, tmp_path, [sample], config, progress=False)
    values = ScoreTable.of(evaluation.results).values
    assert len(values) == 2 and np.isfinite(values).all()
    content = json.dumps(report.content_of(evaluation, "m"))
    assert "NaN" not in content and "Infinity" not in content
