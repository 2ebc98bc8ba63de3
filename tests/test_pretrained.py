"""A model directory of another format is refused by name."""

import json

import pytest
from small import TINY, random_params

from samjax import pretrained
from samjax.data import inputs


def test_other_formats_are_refused(tmp_path):
    path = tmp_path / "model"
    pretrained.save(path, pretrained.Pretrained(TINY, inputs.InputConfig(), random_params(TINY)))
    assert pretrained.load(path).model == TINY
    fields = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(fields | {"format": 1}))
    with pytest.raises(ValueError, match=r"config\.json: format: expected 2, found 1"):
        pretrained.load(path)
