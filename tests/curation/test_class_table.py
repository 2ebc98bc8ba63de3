import json

import numpy as np
import pytest

from samjax.curation import discover, formats
from samjax.curation.options import CurationOptions

LABEL = np.zeros((30, 40), np.uint8)
LABEL[5:15, 8:20] = 1
LABEL[20:28, 8:20] = 2
COLOURS = np.array([(0, 0, 0), (255, 0, 0), (0, 128, 255)], np.uint8)[LABEL]
TABLES = {
    "numbers": {"1": "liver", "2": "spleen", "0": "background"},
    "names": {"liver": 1, "spleen": 2, "background": 0},
    "codes": {"liver": "#ff0000", "spleen": "#0080FF", "background": "#000000"},
    "colours": {"liver": [255, 0, 0], "spleen": [0, 128, 255], "none": [0, 0, 0]},
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("folder", [".", "a/b", "a/b/images", "a/b/masks"])
def test_a_table_beside_the_images_names_their_labels(write_pictures, kind, folder):
    label = LABEL if kind in ("numbers", "names") else COLOURS
    root = write_pictures({"a/b/images/a.png": LABEL * 90, "a/b/masks/a.png": label})
    (root / folder / "labels.json").write_text("\ufeff" + json.dumps(TABLES[kind]))
    (source,) = discover.discover(root, CurationOptions()).sources
    found = formats.read(root, source, CurationOptions()).labels[0]
    areas = {found.name_of(v): int((found.values == v).sum()) for v in (1, 2)}
    assert areas == {"liver": 120, "spleen": 96}


@pytest.mark.parametrize("content", ["[1, 2]", "nonsense", '{"liver": null, "x": 3}'])
def test_another_table_is_refused(write_pictures, content):
    root = write_pictures({"images/a.png": LABEL * 90, "masks/a.png": LABEL})
    (root / "labels.json").write_text(content)
    problems = discover.discover(root, CurationOptions()).problems
    assert {problem.kind for problem in problems} == {"unreadable"}
    assert "labels.json: expected class names and their labels" in problems[-1].detail
