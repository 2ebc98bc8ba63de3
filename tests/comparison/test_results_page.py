"""The page of results from reports only: those of docs/results.md."""

import itertools
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from samjax import cli
from samjax.comparison import figures, runner

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "docs/results.md"
CONFIG = str(ROOT / "configs/comparison_mini.py")


def main(arguments):
    return cli.main(["compare", *arguments])


OUR_TEST = Path("sam_med2d/seed_0/tests/test/report.json")


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Returns a folder of reports without checkpoints, written by an earlier version."""
    folder = tmp_path_factory.mktemp("reports")
    with tarfile.open(PUBLISHED.with_suffix("") / "reports.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(autouse=True)
def no_training(monkeypatch):
    """Fails any training or evaluation; skips bars, which take seconds and are tested elsewhere."""
    for name in ("_train", "_evaluate"):
        monkeypatch.setattr(runner, name, lambda *_, **__: pytest.fail("trained or evaluated"))
    for name in ("bars", "classes"):
        monkeypatch.setattr(figures, name, lambda *_: None)


def markdown_tables(text):
    lines = text.splitlines()
    for is_table, group in itertools.groupby(lines, key=lambda line: line.startswith("|")):
        if is_table:
            yield [[cell.strip() for cell in line.strip("|").split("|")] for line in group]


def check_tables(text):
    """Checks that every table has one head, its rule, and equally many cells in each row."""
    tables = list(markdown_tables(text))
    assert tables
    for table in tables:
        rules = [number for number, row in enumerate(table) if re.fullmatch("[-: ]+", "".join(row))]
        rules = [number for number in rules if "--" in table[number][0]]
        assert rules == [1], table
        assert len({len(row) for row in table}) == 1, table


def test_the_published_page_matches_its_reports(reports, tmp_path):
    page = tmp_path / "results.md"
    shutil.copy(PUBLISHED, page)
    assert main([CONFIG, "--page-only", "--workdir", str(reports), "--page", str(page)]) == 0
    assert page.read_text() == PUBLISHED.read_text()
    check_tables(page.read_text())


def test_a_page_with_all_reports_trains_nothing(reports, tmp_path, capsys):
    page = tmp_path / "new.md"
    arguments = ["--seeds", "0", "--workdir", str(reports), "--page", str(page)]
    assert main([CONFIG, *arguments]) == 0
    check_tables(page.read_text())
    output = capsys.readouterr()
    assert "still to be made" not in output.out
    missing = reports / "general/dense/last"
    assert f"figures prompts, fused: not drawn, as {missing} is not there" in output.err
    assert not missing.exists()


def test_a_missing_report_is_a_dash(reports, tmp_path, capsys):
    (tmp_path / OUR_TEST).parent.mkdir(parents=True)
    shutil.copy(reports / OUR_TEST, tmp_path / OUR_TEST)
    assert main([CONFIG, "--page-only", "--workdir", str(tmp_path)]) == 0
    text = (tmp_path / "results.md").read_text()
    check_tables(text)
    rows = {row[0]: row[1:] for table in markdown_tables(text) for row in table}
    assert rows["SAM-Med2D, as published"] == ["-"] * 4  # Intervals.
    assert rows["all"] == ["-"] * 8
    assert rows["Points"] == ["accumulated", "only the new ones", *["-"] * 5]
    assert "52 models are still to be made" in capsys.readouterr().out


def test_a_page_without_reports_is_an_error(tmp_path, capsys):
    assert main([CONFIG, "--page-only", "--workdir", str(tmp_path / "runs")]) == 2
    assert "runs: expected reports of the comparison, found none" in capsys.readouterr().err


def test_a_folder_of_the_former_name_is_an_error(reports, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    former, folder = Path("runs/study_mini"), Path("runs/comparison_mini")
    (former / OUR_TEST).parent.mkdir(parents=True)
    shutil.copy(reports / OUR_TEST, former / OUR_TEST)
    assert main([CONFIG, "--page-only"]) == 2
    expected = f"--workdir: expected {folder}, found {former}, its name in an earlier version"
    assert expected in capsys.readouterr().err
    assert not folder.exists()
    assert main([CONFIG, "--page-only", "--workdir", str(former)]) == 0
    former.rename(folder)
    assert main([CONFIG, "--page-only"]) == 0


def test_errors_for_former_names_have_the_new_ones(tmp_path, capsys):
    old = tmp_path / "study_tiny.py"
    assert main([str(old)]) == 2
    assert "no such file" in (error := capsys.readouterr().err) and "now" not in error
    (tmp_path / "comparison_tiny.py").write_text("def get_study(): ...")
    assert main([str(old)]) == 2
    new = tmp_path / "comparison_tiny.py"
    assert f"no such file; it is called {new} now" in capsys.readouterr().err
    assert main([str(new)]) == 2
    error = capsys.readouterr().err
    assert "expected a function get_comparison, found its former name, get_study" in error


def test_help_works_without_matplotlib():
    program = (
        "import sys; sys.modules['matplotlib'] = None; "
        "from samjax import cli; cli.main(['compare', '--help'])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert "usage: samjax compare" in done.stdout
    assert "--page-only" in done.stdout
