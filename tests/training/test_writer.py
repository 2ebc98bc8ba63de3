"""Logs of a run: TensorBoard reads them; an error names the file that cannot be written."""

import struct
from pathlib import Path

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import RecordWriter

from samjax.training import writer

FULL = Path("/dev/full")


def events(folder):
    """The events of the only file in a folder: records of length, checksum, content, checksum."""
    [path] = folder.iterdir()
    content, found = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        found.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return found


def test_events_are_those_that_tensorboard_reads(tmp_path):
    log = writer.Writer(tmp_path, 4)
    log.scalars(5, {"loss": 0.5, "dice": 0.25})
    log.picture(6, "predictions", np.zeros((4, 6, 3), np.uint8))
    log.close()
    version, start, *rows, picture = events(tmp_path / "tensorboard")
    assert version.file_version == "brain.Event:2"
    assert (start.step, start.session_log.status) == (5, SessionLog.START)
    assert [(row.step, row.summary.value[0].tag) for row in rows] == [(5, "loss"), (5, "dice")]
    assert [row.summary.value[0].simple_value for row in rows] == [0.5, 0.25]
    image = picture.summary.value[0].image
    assert (picture.step, image.height, image.width) == (6, 4, 6)


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full, which Linux has")
def test_a_full_disk_is_told_and_nothing_waits(tmp_path, monkeypatch):
    log = writer.Writer(tmp_path / "rows", 0)
    (tmp_path / "rows/metrics.jsonl").symlink_to(FULL)
    with pytest.raises(OSError, match=r"metrics.jsonl: cannot be written: No space left on device"):
        log.scalars(1, {"loss": 0.5})
    log.close()
    monkeypatch.setattr(writer, "RecordWriter", lambda _: RecordWriter(str(FULL)))
    log = writer.Writer(tmp_path / "events", 0)
    with pytest.raises(OSError, match=r"tfevents.*: cannot be written: No space left on device"):
        for step in range(1000):
            log.scalars(step, {"loss": 0.5})
    with pytest.raises(OSError, match=r"tfevents.*: cannot be written: No space left on device"):
        log.close()
