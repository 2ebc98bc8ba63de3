"""`report.html`: whole, harmless whatever the data are called, and true to the numbers."""

import dataclasses
import html.parser
import importlib.resources
import re

import numpy as np
import pytest

from samjax.data.metadata import Metadata
from samjax.evaluation import EvalConfig, Evaluation, MaskResult, PromptSet, Score, report
from samjax.evaluation.figures import DrawnCase, Panel
from samjax.evaluation.html_report import charts
from samjax.evaluation.html_report.elements import Html, element, table
from samjax.evaluation.html_report.page import page

HOSTILE = '<script>alert("1")</script>" onload="alert(2)'
VOID = {"meta", "img"}


class Checker(html.parser.HTMLParser):
    """Collects elements; fails where they are not nested."""

    def __init__(self):
        super().__init__()
        self.stack, self.found, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack and self.stack.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def parsed(text):
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.stack == []
    return checker


def result(number, class_name="liver", name="mask"):
    rng = np.random.default_rng(number)
    scores = {}
    for protocol in ("bbox", "noc", "bbox_jitter"):
        dice = float(rng.uniform(0.2, 0.9))
        values = {"dice": dice, "iou": dice / (2 - dice), "predicted_iou": 0.5, "hd95_px": 3.0}
        values |= {"dice_oracle": dice + 0.05, "oracle_gap": 0.05}
        steps = {}
        if protocol == "noc":
            rising = np.linspace(0.1, 0.95, 20).tolist()
            values |= {"noc85": 18.0, "failed85": 0.0}
            steps = {"dice": rising, "iou": rising, "hd95_px": rising}
        scores[protocol] = Score(values, steps)
    scores["filled_box"] = Score({"dice": 0.5, "iou": 0.33})
    metadata = Metadata(("ct", "mr")[number % 2], "set", f"case{number}", class_name, "abdomen")
    image = f"images/{name}{number}.png"
    return MaskResult(image, f"masks/{name}{number}.png", metadata, 30, 40, 9, scores)


@pytest.fixture
def evaluation():
    config = EvalConfig(protocols=("bbox", "noc", "bbox_jitter"), select=("score", "oracle"))
    skipped = PromptSet(4, {}, {f"masks/{HOSTILE}": HOSTILE})
    results = [result(number, HOSTILE, HOSTILE) for number in range(6)]
    return Evaluation(config, 256, results, skipped, {"bbox": 35.0})


def written(evaluation, drawn=None):
    content = report.content_of(evaluation, HOSTILE, {"checkpoint": HOSTILE, "data": "DATA"})
    return page(content, evaluation, drawn)


@pytest.fixture
def drawn():
    picture = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    panels = [Panel(HOSTILE, picture), Panel("Bbox 0.5", picture)]
    return {"best": [DrawnCase(HOSTILE, panels)], "worst": [DrawnCase("m", panels)] * 2}


def test_page_needs_no_network_and_runs_no_script(evaluation, drawn):
    text = written(evaluation, drawn)
    checker = parsed(text)
    assert not checker.all("script") and not checker.all("link") and not checker.all("iframe")
    for _, attributes in checker.found:
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("href", "#").startswith("#")
        assert attributes.get("src", "data:image/jpeg;base64,").startswith("data:image/jpeg;base64")
    assert not re.search(r"https?:|url\(|@import", text)
    policies = [one["content"] for one in checker.all("meta") if "http-equiv" in one]
    assert policies[0].startswith("default-src 'none'")
    assert checker.texts.count(HOSTILE) > 3  # Shown as it is: title, heading, class, ...


def test_sections_are_those_that_the_content_has(evaluation, drawn):
    checker = parsed(written(evaluation, drawn))
    links = [one["href"][1:] for one in checker.all("a")]
    assert links == [one["id"] for one in checker.all("div") if "id" in one]
    assert "curves-over-clicks" in links and "moved-prompts" in links
    assert len(checker.all("img")) == 6 and all(one["alt"] for one in checker.all("img"))
    bare = dataclasses.replace(
        evaluation,
        config=EvalConfig(protocols=("bbox",)),
        results=[
            dataclasses.replace(
                one,
                scores={name: Score({"dice": 0.4, "iou": 0.3}) for name in ("bbox", "filled_box")},
                metadata=evaluation.results[0].metadata,
            )
            for one in evaluation.results
        ],
    )
    checker = parsed(written(bare))
    assert [one["href"] for one in checker.all("a")] == [
        *("#scores", "#parts-of-the-data", "#single-masks", "#settings-and-conventions")
    ]
    assert not checker.all("img")
    assert any("All masks are of one subject" in text for text in checker.texts)


def test_tables_can_be_read_aloud(evaluation):
    checker = parsed(written(evaluation))
    tables = len(checker.all("table"))
    assert tables >= 7 and len(checker.all("caption")) == tables
    assert all(one.get("scope") in ("row", "col") for one in checker.all("th"))
    charted = [one for one in checker.all("svg") if one.get("aria-hidden") != "true"]
    assert charted and all(one["role"] == "img" for one in charted)
    regions = [one for one in checker.all("div") if one.get("role") == "region"]
    assert len(regions) == len({one["aria-label"] for one in regions}) == tables
    (root,) = checker.all("html")
    assert root["lang"] == "en"


def test_numbers_are_those_of_the_report(evaluation):
    content = report.content_of(evaluation, "m")
    texts = parsed(page(content, evaluation)).texts
    for name in ("bbox", "noc"):
        means = content["overall"][name]
        assert f"{100 * means['dice']:.2f}" in texts
        low, high = means["dice_ci"]
        assert f"{100 * low:.2f} to {100 * high:.2f}" in texts
    assert f"{100 * content['robustness']['bbox_jitter']['lost']:.2f}" in texts
    assert "IoU 85 % 100.0" in texts and "IoU 90 % 100.0" in texts  # Of masks, at 20 clicks.


def test_elements_escape_all_but_html():
    assert element("b", "<&>", title='"') == '<b title="&quot;">&lt;&amp;&gt;</b>'
    assert element("p", element("b", "x"), None, class_="k") == '<p class="k"><b>x</b></p>'
    assert table([], "nothing") is None
    text = table([["A", "B", "C"], ["<i>", "1", Html("<svg></svg>")]], "caption")
    assert "&lt;i&gt;" in text and "<svg></svg>" in text and text.count('class="number"') == 2


def test_curves_stand_where_their_values_are():
    text = charts.curves({"one": [0.0, 0.5, 1.0], "two": [0.0, 0.5, 0.99]}, "clicks", "t")
    lines = [
        [tuple(map(float, point.split(","))) for point in points.split()]
        for points in re.findall(r'points="([^"]*)"', text)
    ]
    (left, bottom), (middle_x, middle_y), (right, top) = lines[0]
    assert middle_x == pytest.approx((left + right) / 2, abs=0.06)
    assert middle_y == pytest.approx((bottom + top) / 2, abs=0.06)
    assert lines[1][2][1] == pytest.approx(top + 0.01 * (bottom - top), abs=0.06)
    heights = [float(y) for y in re.findall(r'y="([\d.]+)"[^>]*class="f\d"', text)]
    assert len(heights) == 2 and abs(heights[0] - heights[1]) > 14  # Names do not overlap.
    assert parsed(charts.curves({"one": [0.5]}, "clicks", "t")).all("polyline")


def test_reliability_diagram_has_dots_on_the_diagonal_where_scores_are_true():
    bins = [
        {"low": 0.1, "high": 0.2, "count": 4, "predicted": 0.15, "iou": 0.15},
        {"low": 0.8, "high": 0.9, "count": 1, "predicted": 0.85, "iou": 0.35},
    ]
    checker = parsed(charts.reliability(bins, "t"))
    dots = [{n: float(v) for n, v in one.items() if n != "class"} for one in checker.all("circle")]
    (ideal,) = [one for one in checker.all("line") if one["class"] == "ideal"]
    x1, y1, x2, y2 = (float(ideal[name]) for name in ("x1", "y1", "x2", "y2"))
    share = [(dot["cx"] - x1) / (x2 - x1) for dot in dots]
    height = [(dot["cy"] - y1) / (y2 - y1) for dot in dots]
    assert share == pytest.approx([0.15, 0.85], abs=1e-3)
    assert height == pytest.approx([0.15, 0.35], abs=1e-3)
    assert dots[0]["r"] > dots[1]["r"]
    bars = [float(one["height"]) for one in checker.all("rect")]
    assert bars[0] == pytest.approx(4 * bars[1])


def luminance(color):
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_their_background(theme):
    """Contrast of WCAG 2, level AA, of all text; names of lines are text, too."""
    style = importlib.resources.files("samjax.evaluation.html_report").joinpath("style.css")
    block = re.findall(r":root \{(.*?)\}", style.read_text(), re.DOTALL)[theme]
    colors = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block))
    for text in ("ink", "soft", "accent", *(f"s{i}" for i in range(6))):
        for background in ("paper", "card", "stripe"):
            light, dark = sorted(map(luminance, (colors[text], colors[background])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, background)
