import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from samjax.cli import main
from samjax.data import files, index, quality, records
from samjax.data.config import DataConfig
from samjax.data.files import DataError
from samjax.data.inputs import Preprocessing
from samjax.data.pipeline import load_for_evaluation, training_iterator
from samjax.data.record_reader import LOOKUP


@pytest.fixture(scope="module")
def recorded(phantom_root, tmp_path_factory):
    out = tmp_path_factory.mktemp("records")
    return records.write_records(phantom_root, out, ("train", "test"))


def test_records_are_a_data_folder(phantom_root, recorded):
    for split in ("train", "test"):
        samples = index.load_index(recorded, split)
        assert samples == index.load_index(phantom_root, split)
        assert not quality.check_samples(recorded, samples, 64, "longest_side")
        about = index.load_metadata(recorded, samples)
        assert about == index.load_metadata(phantom_root, samples)
    assert not list(recorded.rglob("*.png"))


def test_batches_are_the_same_bit_for_bit(phantom_root, recorded):
    batches = []
    for root in (phantom_root, recorded):
        config = DataConfig(str(root), batch_size=4, masks_per_image=2, balance="mask", threads=2)
        iterator = training_iterator(index.load_index(root, "train"), config, Preprocessing(), 32)
        batches.append([next(iterator) for _ in range(8)])
    for one, other in zip(*batches, strict=True):
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name])


def test_evaluation_reads_records(phantom_root, recorded):
    for sample in index.load_index(recorded, "test"):
        one, other = (
            load_for_evaluation(sample, root, Preprocessing(), 32)
            for root in (phantom_root, recorded)
        )
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.original_masks, other.original_masks)


def test_pixels_are_those_of_the_files(phantom_root, recorded):
    for sample in reversed(index.load_index(recorded, "train")):
        for path in (*sample.masks, sample.image):
            found = files.decode(recorded / path)
            np.testing.assert_array_equal(found, files.decode(phantom_root / path))
    with pytest.raises(DataError, match=r"images/gone.png: no such file"):
        files.read_bytes(recorded / "images/gone.png")


def test_records_are_not_written_twice_or_by_half(phantom_root, recorded, write_folder, tmp_path):
    with pytest.raises(DataError, match="expected no records yet, found some"):
        records.write_records(phantom_root, recorded.parents[1], ("train",))
    root = write_folder({"a_1.png": {"a_1_x_0.png": np.ones((30, 40), np.uint8)}})
    (root / "masks/a_1_x_0.png").unlink()
    with pytest.raises(DataError, match=r"a_1_x_0.png: no such file"):
        records.write_records(root, tmp_path / "out", ("train",))
    assert not list((tmp_path / "out").rglob(LOOKUP))


def test_many_records_are_several_files_and_never_all_in_memory(
    phantom_root, tmp_path, monkeypatch
):
    monkeypatch.setattr(records, "RECORDS_PER_FILE", 5)
    # Beyond that TFDS would gather what is to be shuffled on disk, by TensorFlow.
    monkeypatch.setattr("tensorflow_datasets.core.shuffle.MAX_MEM_BUFFER_SIZE", 0)
    folder = records.write_records(phantom_root, tmp_path, ("train", "test"))
    samples = [s for split in ("train", "test") for s in index.load_index(folder, split)]
    assert len([*folder.glob("*.array_record-*")]) >= len(samples) // 5 > 2
    for sample in samples:
        for path in (sample.image, *sample.masks):
            found = files.decode(folder / path)
            np.testing.assert_array_equal(found, files.decode(phantom_root / path))


def test_the_command_writes_them(phantom_root, tmp_path, capsys):
    assert main(["data", "records", str(phantom_root), "--out", str(tmp_path / "out")]) == 0
    folder = capsys.readouterr().out.strip()
    sample = index.load_index(folder, "test")[0]
    image = cv2.imread(str(phantom_root / sample.image), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(files.decode(f"{folder}/{sample.image}"), image)


def test_tensorflow_is_never_imported(phantom_root, recorded):
    code = (
        "import sys; from samjax.data import files, index\n"
        f"sample = index.load_index({str(recorded)!r}, 'train')[0]\n"
        f"files.read_bytes({str(recorded)!r} + '/' + sample.image)\n"
        "assert 'tensorflow_datasets' in sys.modules and 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("moment", ["_encode", "_write_lookup"])
def test_records_are_whole_or_not_there(phantom_root, tmp_path, monkeypatch, stopped, moment):
    """And the same command then makes them, whatever a killed one has left."""

    def stop(*_):
        raise stopped

    monkeypatch.setattr(records, moment, stop)
    with pytest.raises((KeyboardInterrupt, OSError)):
        records.write_records(phantom_root, tmp_path, ("test",))
    assert not [*tmp_path.rglob("*")] or [p.name for p in tmp_path.iterdir()] == [records.NAME]
    monkeypatch.undo()
    (tmp_path / f"{records.NAME}.partial/left").mkdir(parents=True)
    made = records.write_records(phantom_root, tmp_path, ("test",))
    assert (made / LOOKUP).exists()
    assert [path.name for path in tmp_path.iterdir()] == [records.NAME]


def test_a_mask_of_another_shape_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 30), np.uint8))
    cv2.imwrite(str(tmp_path / "m.png"), np.full((20, 29), 255, np.uint8))
    (tmp_path / "image2label_train.json").write_text('{"a.png": ["m.png"]}')
    with pytest.raises(DataError, match=r"m.png: expected a mask of .* \(20, 30\), found \(20, 29"):
        records.write_records(tmp_path, tmp_path / "records", ("train",))
    assert not [*(tmp_path / "records").rglob("*")]


def test_records_that_are_written_anew_are_read_anew(tmp_path):
    for value in (1, 2):
        cv2.imwrite(str(tmp_path / "a.png"), np.full((20, 30), value, np.uint8))
        cv2.imwrite(str(tmp_path / "m.png"), np.full((20, 30), 255, np.uint8))
        (tmp_path / "image2label_train.json").write_text('{"a.png": ["m.png"]}')
        made = records.write_records(tmp_path, tmp_path / "records", ("train",))
        assert (files.decode(made / "a.png") == value).all()
        shutil.rmtree(made)
