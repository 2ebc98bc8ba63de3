"""Compares Beam's local runner, with two worker processes, with `local.run`; needs Beam."""

import pytest
from folders import tree

from samjax import extra
from samjax.curation import beam, local, prepare, store

RUNNER = ("--runner=DirectRunner", "--direct_num_workers=2",
          "--direct_running_mode=multi_processing")  # fmt: skip


def test_beam_makes_the_same_byte_for_byte(scans, tmp_path):
    pytest.importorskip("apache_beam", reason="needs the extra `beam`")
    (scans / "masks/case2_0001.png").write_bytes(b"no picture")
    here, there = tmp_path / "here", tmp_path / "there"
    expected = prepare.prepare(scans, here, executor=local.with_processes(1))
    executor = beam.with_pipeline(RUNNER, there / store.CASES)
    assert prepare.prepare(scans, there, executor=executor) == expected
    assert tree(there) == tree(here)
    assert prepare.prepare(scans, there, executor=executor).done == 0


def test_without_beam_the_error_says_how_to_install_it(monkeypatch, tmp_path):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(extra.importlib, "import_module", missing)
    with pytest.raises(extra.MissingLibrary, match=r"pip install 'samjax\[beam\]'"):
        beam.with_pipeline([], tmp_path)
