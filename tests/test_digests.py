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
    digests.check(folder)
    digests.write(folder)
    digests.check(folder)
    (folder / "a file of somebody's").touch()
    digests.check(folder)


def spoil_byte(path):
    path.write_bytes(bytes(500) + b"\1" + bytes(499))


def cut(path):
    path.write_bytes(bytes(999))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_byte, r"params/a: expected 1000 bytes, \w+, found 1000 bytes, \w+"),
        (cut, r"params/a: expected 1000 bytes, \w+, found 999 bytes"),
        (lambda path: path.unlink(), r"params/a: expected a file \(1000 bytes.*found none"),
        (lambda path: (path.parents[1] / digests.NAME).write_text("{"), "expected digests as JSON"),
    ],
)
def test_what_is_damaged_is_named(folder, spoil, message):
    spoil(folder / "params/a")
    with pytest.raises(ValueError, match=message):
        digests.check(folder)
