"""A journal outlives any end of its process, and is taken for nobody else's."""

import pytest

from samjax.data.files import DataError
from samjax.data.journal import Journal

RUN = {"model": "a", "protocols": ("bbox", "1pt")}


def opened(path, run=RUN):
    return Journal(path, run, "Take another folder")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / "run.jsonl"


def test_nothing_stays_of_a_run_that_did_nothing(path):
    with opened(path) as journal:
        assert journal.rows == []
    assert not path.parent.exists()


def test_rows_come_back_and_more_are_added(path):
    for number in range(3):
        with opened(path) as journal:
            assert [row["n"] for row in journal.rows] == [*range(number)]
            journal.add({"n": number, "half": 0.1 + 0.2})
    assert opened(path).rows[0]["half"] == 0.1 + 0.2


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_line_that_was_cut_off_is_left_out(path, cut):
    with opened(path) as journal:
        journal.add({"n": 0})
        journal.add({"n": 1, "text": "a long line that is cut"})
    path.write_bytes(path.read_bytes()[:-cut])
    with opened(path) as journal:
        assert journal.rows == [{"n": 0}]
        journal.add({"n": 2})
    assert opened(path).rows == [{"n": 0}, {"n": 2}]


def test_even_the_first_line_may_be_cut_off(path):
    with opened(path) as journal:
        journal.add({"n": 0})
    path.write_bytes(path.read_bytes()[:10])
    with opened(path, {"model": "b"}) as journal:
        assert journal.rows == []
        journal.add({"n": 1})
    assert opened(path, {"model": "b"}).rows == [{"n": 1}]


def test_a_file_of_another_run_is_refused_with_the_differences(path):
    with opened(path) as journal:
        journal.add({"n": 0})
    message = r"run\.jsonl: expected .* \(model: a then, b now\). Take another folder"
    with pytest.raises(DataError, match=message):
        opened(path, RUN | {"model": "b"})
    assert opened(path).rows == [{"n": 0}]


def test_a_file_that_is_not_a_journal_is_refused(path):
    path.parent.mkdir()
    for content in (b"{\n", b"[]\n"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"run\.jsonl: expected lines of JSON"):
            opened(path)


def test_done_is_done(path):
    with opened(path) as journal:
        journal.add({"n": 0})
        journal.remove()
    assert not path.exists()
