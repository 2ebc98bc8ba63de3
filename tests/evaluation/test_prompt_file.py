import dataclasses
import json
import typing

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from samjax.data.boxes import tight_box
from samjax.data.files import DataError
from samjax.data.inputs import Resize, place
from samjax.evaluation import prompt_file
from samjax.evaluation.prompt_file import MaskPrompt, PromptSet

SIDES = st.integers(4, 3000)


@settings(max_examples=200, deadline=None)
@given(
    SIDES,
    SIDES,
    st.sampled_from([64, 256, 1024]),
    st.sampled_from(typing.get_args(Resize)),
    st.integers(0, 999),
)
def test_prompts_come_back_as_the_same_pixels(height, width, size, resize, seed):
    placement = place(height, width, size, resize)
    rng = np.random.default_rng(seed)
    mask = np.zeros((size, size), np.uint8)
    inner = mask[placement.top :, placement.left :]
    inner = inner[: placement.inner_height, : placement.inner_width]
    inner[rng.random(inner.shape) < 0.02] = 1
    assume(mask.any())
    prompt = prompt_file.draw(mask, placement, seed, "masks/a.png", "images/a.png")
    box, point = prompt.in_input(placement)
    assert mask[int(point[1]), int(point[0])]
    np.testing.assert_array_equal(point, np.round(point))
    np.testing.assert_array_equal(box, tight_box(mask))


def test_a_margin_enlarges_the_box_as_far_as_the_image_reaches():
    placement = place(40, 64, 64, "longest_side")
    mask = np.zeros((64, 64), np.uint8)
    mask[2:30, 10:63] = 1
    prompt = prompt_file.draw(mask, placement, 0, "masks/a.png", "images/a.png", 3.0)
    np.testing.assert_array_equal(prompt.in_input(placement)[0], [7, 0, 64, 33])
    tight = prompt_file.draw(mask, placement, 0, "masks/a.png", "images/a.png")
    assert prompt.point == tight.point


def test_prompts_depend_on_seed_and_path_alone():
    mask = np.ones((64, 64), np.uint8)
    placement = place(64, 64, 64, "stretch")

    def draw(seed, path):
        return prompt_file.draw(mask, placement, seed, path, "i.png")

    assert draw(1, "a.png") == draw(1, "a.png")
    others = [draw(1, "a.png"), draw(2, "a.png"), draw(1, "b.png")]
    assert len({prompt.click_seed for prompt in others}) == 3
    assert len({prompt.point for prompt in others}) == 3


def test_first_points_are_uniform_over_the_mask():
    mask = np.zeros((8, 8), np.uint8)
    mask[2, 3], mask[5, 1], mask[7, 7] = 1, 1, 1
    placement = place(8, 8, 8, "stretch")
    drawn = [prompt_file.draw(mask, placement, 0, f"{i}.png", "i").point for i in range(600)]
    counts = {point: drawn.count(point) for point in set(drawn)}
    assert set(counts) == {(3, 2), (1, 5), (7, 7)}
    assert all(150 < count < 250 for count in counts.values())


PROMPTS = PromptSet(
    7,
    {"masks/ä.png": MaskPrompt("images/ä.png", (0.5, 1.25, 30.0, 40.0), (3.0, 5.0625), 2**32 - 1)},
    {"masks/b.png": "empty"},
    {"images/ä.png": "64 x 64, 0123456789abcdef"},
)


def test_a_saved_file_loads_as_it_was(tmp_path):
    path = tmp_path / "prompts.json"
    prompt_file.save(path, PROMPTS)
    assert prompt_file.load(path) == PROMPTS
    assert [file.name for file in tmp_path.iterdir()] == ["prompts.json"]
    content = json.loads(path.read_text())
    assert content["format"] == 1
    assert content["prompts"]["masks/ä.png"]["box"] == [0.5, 1.25, 30.0, 40.0]


def test_a_file_of_an_earlier_version_has_no_fingerprints(tmp_path):
    path = tmp_path / "prompts.json"
    prompt_file.save(path, PROMPTS)
    content = json.loads(path.read_text())
    del content["contents"]
    path.write_text(json.dumps(content))
    assert prompt_file.load(path) == dataclasses.replace(PROMPTS, contents={})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format: expected 1, found 2"),
        ({"seed": "x"}, "seed: expected int, found 'x'"),
        ({"contents": {"a": 1}}, "contents: expected a text for each file"),
        ({"prompts": []}, "prompts: expected dict"),
        ({"prompts": {"m.png": {"box": [0, 0, 1, 1]}}}, "m.png: expected the fields"),
        ({"box": [0, 0, 1]}, "box: expected 4 numbers"),
        ({"box": [5, 0, 5, 9]}, "expected x0 < x1"),
        ({"point": ["a", 1]}, "point: expected 2 numbers"),
        ({"click_seed": -1}, "click_seed: expected 0 to"),
    ],
)
def test_a_broken_file_is_named_with_its_field(tmp_path, change, message):
    path = tmp_path / "prompts.json"
    prompt_file.save(path, PROMPTS)
    content = json.loads(path.read_text())
    (prompt,) = content["prompts"].values()
    for field, value in change.items():
        (prompt if field in prompt else content)[field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message) as raised:
        prompt_file.load(path)
    assert str(path) in str(raised.value)


def test_no_file_and_no_json(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        prompt_file.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match="expected JSON"):
        prompt_file.load(tmp_path / "bad.json")
