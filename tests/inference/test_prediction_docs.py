"""What docs/prediction.md tells people to type works."""

import re
from pathlib import Path

import cv2
import pytest
from small import random_params

from samjax import cli, models
from samjax.data.classes import with_colors
from samjax.data.inputs import Preprocessing
from samjax.models import HeadConfig
from samjax.models import directory as storage
from samjax.models.directory import Model

PAGE = Path(__file__).parents[2] / "docs" / "prediction.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.heavy
def test_the_page(model, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    storage.save("models/sam_med2d", model)
    for name, shape in {"scan.png": (160, 200), "another.png": (70, 60)}.items():
        cv2.imwrite(name, photo(*shape))
    head = HeadConfig("semantic", classes=2)
    config = models.tiny(head=head)
    classes = with_colors(["liver", "spleen"])
    storage.save("models/samed", Model(config, Preprocessing(), random_params(config), classes))
    names = {}
    for code in blocks("python"):
        exec(code, names)
    assert names["masks"].shape == (1, 160, 200)
    assert names["rectified"].shape == (160, 200)
    assert names["probabilities"].shape == (3, 160, 200)
    printed = capsys.readouterr().out
    assert "(2, 3, 160, 200)" in printed and "liver (" in printed

    Path("scans/sub").mkdir(parents=True)
    cv2.imwrite("scans/scan.png", photo(160, 200))
    cv2.imwrite("scans/sub/other.png", photo(70, 60))
    for language in ("csv", "json"):
        (content,) = blocks(language)
        Path(f"prompts.{language}").write_text(content)
    lines = "".join(blocks("bash")).replace("\\\n", "").splitlines()
    (prompted,) = (line for line in lines if ".csv" in line)
    for line in [*lines, prompted.replace(".csv", ".json").replace("all/", "more/")]:
        assert cli.main(line.split()[1:]) == 0, line
    assert "left out" not in capsys.readouterr().err
