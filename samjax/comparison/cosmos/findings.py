"""COSMOS's eight findings as questions, each answered by the data of a study, or not.

The published answers are those of the paper's abstract, as the first of each finding below. An
answer needs an interval on one side: "not shown" is the answer where it has both.
"""

import dataclasses
from collections.abc import Callable

from samjax.comparison.cosmos import plan, results, tables
from samjax.comparison.cosmos.cells import with_interval
from samjax.comparison.cosmos.results import SELECTS, Select, StudyResults
from samjax.comparison.cosmos.tables import EffectsOfModel
from samjax.evaluation.metrics import Mean

NOT_SHOWN = "not shown"
_FEW = 5  # Subjects below which the mean of a pair says little.
_LARGER = 1.5  # Ratio of the parameters of a larger model.
_LOW, _HIGH = 50, 90  # Dice, %.
_SHORT = {
    "size": "size",
    "aspect": "aspect ratio",
    "intensity": "intensity difference",
    "complexity": "boundary by COSMOS's measure",
    "order": "by its Fourier order",
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """A question, and its answer by the data.

    Attributes:
        question: The question.
        published: COSMOS's finding, and where it is known from.
        answer: `yes`, `no`, `partly` or `not shown`.
        evidence: Numbers of this study, in sentences.
    """

    question: str
    published: str
    answer: str
    evidence: str


def every(found: StudyResults, effects: EffectsOfModel) -> list[Finding]:
    """Returns the eight findings, in order.

    Args:
        found: Results of the study.
        effects: Effects of factors on the first model, see `tables.factor_effects`.
    """
    return [
        _objects(found),
        _size(found),
        _prompts(found),
        _annotation(found),
        _jitter(found),
        _clicks(found),
        _factors(found, effects),
        _tuning(found),
    ]


def _objects(found: StudyResults) -> Finding:
    model, name = found.first, _preferred(found)
    table = model.strategies
    scores = results.dice(table, name, "score")
    means = {
        pair: results.mean_of(scores[index], table.rows(index))
        for pair, index in results.pairs(table).items()
        if len({*table.rows(index).subjects}) >= _FEW
    }
    share = results.mean_of(100.0 * (scores < _LOW), table)
    text = (
        f"{model.name}, {name}, by score: {with_interval(share)} % of {len(scores)} masks have a "
        f"Dice below {_LOW} %, {100 * (scores > _HIGH).mean():.1f} % one above {_HIGH} %."
    )
    if len(means) < 2:
        reason = f" Fewer than two objects have {_FEW} subjects, so objects cannot be compared."
        return _finding(0, NOT_SHOWN, text + reason)
    ranked = sorted(means, key=lambda pair: means[pair].value)
    low, high = means[ranked[0]], means[ranked[-1]]
    text += (
        f" Of {len(means)} pairs of an object and a modality with {_FEW} subjects or more, the "
        f"worst is {_words(ranked[0])}, {with_interval(low)}, and the best {_words(ranked[-1])}, "
        f"{with_interval(high)} (the extremes of all, intervals for each by itself)."
    )
    apart = low.high is not None and high.low is not None and low.high < high.low
    return _finding(0, "yes" if apart else NOT_SHOWN, text)


def _size(found: StudyResults) -> Finding:
    first, *others = found.models.values()
    lines, gains = [], []
    for other in others:
        small, large = sorted((first, other), key=lambda model: model.facts["parameters"])
        ratio = large.facts["parameters"] / small.facts["parameters"]
        if ratio < _LARGER:
            continue
        for select in SELECTS:
            both = (small.strategies, large.strategies, _preferred(found))
            gains.append(results.gain(*both, select, select))
            lines.append(
                f"{large.name} minus {small.name} ({ratio:.1f} times the parameters), "
                f"{both[2]}, {_way(select)}: {with_interval(gains[-1], signed=True)}."
            )
    if not gains:
        text = "No two of the models differ in size."
        if others:
            sizes = (f"{model.facts['parameters']:,}" for model in found.models.values())
            text += f" Their parameters: {', '.join(sizes)}; the section Models compares them."
        return _finding(1, NOT_SHOWN, text)
    return _finding(1, _verdict(gains, lambda value: value > 0), " ".join(lines))


def _prompts(found: StudyResults) -> Finding:
    table, lines, differences = found.first.strategies, [], []
    known = [name for name in found.study.strategies if name in table.protocols]
    for more, less in (("S5", "S2"), ("S5", "S3"), ("S2", "S1"), ("S5", "S1")):
        if more not in known or less not in known:
            continue
        two = [results.difference(table, more, less, select) for select in SELECTS]
        differences += two
        texts = (with_interval(one, signed=True) for one in two)
        ways = ", ".join(f"{text} {_way(s)}" for text, s in zip(texts, SELECTS, strict=True))
        lines.append(f"{more} minus {less}: {ways}.")
    if not differences:
        return _finding(2, NOT_SHOWN, "Fewer than two of S1, S2, S3 and S5 were run.")
    text = f"{found.first.name}: {' '.join(lines)}"
    answer = _verdict(differences, lambda value: value > 0)
    if answer == "yes" and plan.EVERYTHING not in known:
        answer, text = "partly", f"{text} Everything (S1) was not run."
    return _finding(2, answer, text)


def _annotation(found: StudyResults) -> Finding:
    text = "It takes annotators and a clock; there were none here."
    return _finding(3, NOT_SHOWN, text)


def _jitter(found: StudyResults) -> Finding:
    model, lines, losses = found.first, [], []
    levels = found.study.jitter
    for move in tables.moves(found, model):
        if move.kind == "points":
            continue
        lost = [results.drop(model, move.strategy, move.protocols[levels[-1]], s) for s in SELECTS]
        losses += lost if move.strategy in ("S2", "S5") else []
        oracle, score = (with_interval(one) for one in lost)
        lines.append(f"{move.strategy}, {move.title}: {oracle} by oracle, {score} by score.")
    if not losses:
        return _finding(4, NOT_SHOWN, "No prompt of S2 or S5 was moved.")
    start = f"{model.name}, Dice lost by {levels[-1]}, mean of {found.study.repeats} draws: "
    return _finding(4, _verdict(losses, lambda value: value > 0), start + " ".join(lines))


def _clicks(found: StudyResults) -> Finding:
    lines = []
    for model in found.models.values():
        if (table := model.tables.get("clicks")) is None:
            continue
        curve = 100 * table.steps("noc", "dice")[:, : found.study.clicks].mean(axis=0)
        text = f"{model.name}: {curve[0]:.1f} after one click, {curve[-1]:.1f} after {len(curve)}"
        if "S5" in model.strategies.protocols:
            box = model.dice("S5", "score").value
            above = [count for count, value in enumerate(curve, start=1) if value > box]
            text += f"; the box, {box:.1f}, is "
            text += f"passed at click {above[0]}" if above else "not passed"
        lines.append(f"{text}.")
    note = (
        "Needs a published click-based method on the same images; none runs here. Curves of the "
        "models at hand, by RITM's clicker and by score: "
    )
    return _finding(5, NOT_SHOWN, note + " ".join(lines) if lines else "No clicks were run.")


def _factors(found: StudyResults, effects: EffectsOfModel) -> Finding:
    model, name = found.first, _preferred(found)
    lines, seen = [], []
    for select in reversed(SELECTS):
        words = []
        for factor, short in _SHORT.items():
            boundary = factor if factor == "order" else "complexity"
            rho = effects[select, name, boundary].rho[factor]
            if rho is None:
                continue
            if factor in ("intensity", "complexity"):
                sign = 1 if factor == "intensity" else -1
                seen.append(Mean(*_with_sign(rho, sign)))
            words.append(f"{short} {with_interval(rho, 2, signed=True)}")
        lines.append(f"{_way(select)}, {', '.join(words)}")
    if not seen:
        return _finding(6, NOT_SHOWN, "The factors do not vary, or masks are too few.")
    text = f"{model.name}, {name}, rank correlations given the others: {'; '.join(lines)}."
    return _finding(6, _verdict(seen, lambda value: value > 0), text)


def _with_sign(mean: Mean, sign: int) -> tuple[float, float | None, float | None]:
    """Returns the value and ends of an interval times a sign, the lower one first."""
    if mean.low is None or mean.high is None:
        return sign * mean.value, None, None
    low, high = sorted((sign * mean.low, sign * mean.high))
    return sign * mean.value, low, high


def _tuning(found: StudyResults) -> Finding:
    rows = tables.tuned(found).rows
    if not rows:
        return _finding(7, NOT_SHOWN, "No decoder was tuned (`--tune`).")
    gains = [row[-1] for row in rows if isinstance(row[-1], Mean)]
    texts = (
        f"{row[0]}: {with_interval(gain, signed=True)}"
        for row, gain in zip(rows, gains, strict=True)
    )
    text = f"{found.first.name}, S5, Dice after minus before. {'; '.join(texts)}."
    return _finding(7, _verdict(gains, lambda value: value > 0), text)


def _verdict(means: list[Mean], holds: Callable[[float], bool]) -> str:
    """Returns `yes` or `no` where all intervals agree, `partly` where some show it."""
    shown = [results.is_decided(mean, holds) for mean in means]
    refuted = [results.is_decided(mean, lambda value: not holds(value)) for mean in means]
    if all(shown):
        return "yes"
    if all(refuted):
        return "no"
    return "partly" if any(shown) else NOT_SHOWN


def _preferred(found: StudyResults) -> str:
    """Returns the box's strategy, or the first one of a study without."""
    known = found.first.strategies.protocols
    names = [name for name in ("S5", *found.study.strategies) if name in known]
    return names[0]


def _words(pair: tuple[str, str]) -> str:
    return f"{pair[0].replace('_', ' ')} ({pair[1].replace('_', ' ')})"


def _way(select: Select) -> str:
    return "by oracle" if select == "oracle" else "by score"


def _finding(number: int, answer: str, evidence: str) -> Finding:
    return Finding(*_QUESTIONS[number], answer, evidence)


_ABSTRACT = "abstract"
_QUESTIONS = (
    (
        "Is it good at some objects, and does it fail at others?",
        f"Remarkable on some, unstable or failing on others ({_ABSTRACT}).",
    ),
    ("Is a larger model better?", f"ViT-H is better than ViT-B overall ({_ABSTRACT})."),
    (
        "Is a box better than points, and are hints better than segmenting everything?",
        f"Manual hints, above all boxes, are better than everything ({_ABSTRACT}).",
    ),
    (
        "Does it help annotators?",
        f"High quality in less time ({_ABSTRACT}).",
    ),
    (
        "Do moved points and boxes lose Dice?",
        f"It is sensitive to them ({_ABSTRACT}); at 20-30 px S2 loses 14.6 points of Dice, S3 4.4, "
        "S4 3.2, S5 24.1 (table 8, as quoted by a reproduction).",
    ),
    (
        "Is it better than interactive methods by few clicks, and overtaken by more?",
        f"Better with one or a few points, outpaced as they increase ({_ABSTRACT}).",
    ),
    (
        "Does Dice rise with the contrast and fall with the boundary's complexity?",
        f"It correlates with boundary complexity, intensity difference and more ({_ABSTRACT}); "
        "+0.45 to +0.64, and about -0.4 to -0.6 (table 6, as quoted by a reproduction).",
    ),
    (
        "Does tuning for the task help?",
        f"+4.39 points of Dice for ViT-B, +6.68 for ViT-H ({_ABSTRACT}).",
    ),
)
