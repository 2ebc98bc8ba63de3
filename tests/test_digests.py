"""A folder is whole, or the file that is not is named."""

import pytest

from samjax import digests


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "params").mkdir()
    (tmp_path / "params/a").write_bytes(bytes(1000))
    (tmp_path / "config.json").write_text("{}")
    digests.write(tmp_path)
    return tmp_path


def test_what_is_whole_passes(folder):
    assert digests.check(folder) == 2
    (folder / "a file of somebody's").touch()
    assert digests.check(folder) == 2
    (folder / digests.NAME).unlink()
    assert digests.check(folder) == 0


def spoil_byte(path):
    path.write_bytes(bytes(500) + b"\1" + bytes(499))


def cut(path):
    path.write_bytes(bytes(999))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_byte, "params/a: expected the bytes that were written, found others"),
        (cut, "params/a: expected the bytes that were written, found others"),
        (lambda path: path.unlink(), "params/a: missing"),
        (lambda path: (path.parents[1] / digests.NAME).write_text("{"), "expected lines of a"),
    ],
)
def test_what_is_damaged_is_named(folder, spoil, message):
    spoil(folder / "params/a")
    with pytest.raises(ValueError, match=message):
        digests.check(folder)
