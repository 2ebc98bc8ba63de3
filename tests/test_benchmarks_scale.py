import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.heavy
def test_the_report_of_a_million_rows_takes_less_than_4_gib():
    command = [sys.executable, "-m", "benchmarks.evaluation_scale", "report"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    rows, peak = re.search(r"([\d,]+) rows .* peak memory ([\d.]+) GiB", done.stdout).groups()
    assert int(rows.replace(",", "")) >= 1_000_000 and float(peak) < 4


@pytest.mark.heavy
def test_masks_are_measured_in_worker_processes():
    command = [sys.executable, "-m", "benchmarks.evaluation_scale", "surfaces", "--masks", "300"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "300 masks with 4 predictions each, 2 workers" in done.stdout
