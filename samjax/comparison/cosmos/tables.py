"""Tables of a study, in the order of COSMOS's own.

Dice and IoU are in %. Two numbers in a cell are of the best candidate by the truth, and of the one
with the highest predicted IoU.
"""

from collections.abc import Mapping, Sequence

from samjax.comparison import correlation
from samjax.comparison.correlation import FactorEffects
from samjax.comparison.cosmos import plan, results, tuning
from samjax.comparison.cosmos.cells import Cell, StudyTable, TwoWays
from samjax.comparison.cosmos.results import SELECTS, ModelResults, Select, StudyResults
from samjax.evaluation.metrics import Mean
from samjax.evaluation.table import ScoreTable

SHOWN_CLICKS = (1, 2, 3, 5, 10, 20)
FACTORS = {  # Title by name; each measure of the boundary is tried by itself.
    "size": "Size (pixels)",
    "aspect": "Aspect ratio",
    "intensity": "Intensity difference",
    "complexity": "Boundary: COSMOS's measure",
    "order": "Boundary: order for Dice > 97 %",
}
_BOUNDARY = ("complexity", "order")
EffectsOfModel = dict[tuple[Select, str, str], FactorEffects]


def strategies(found: StudyResults) -> StudyTable:
    """Scores of every strategy."""
    rows = []
    for model in found.models.values():
        table = model.strategies
        for name in _strategies(found, table):
            gap = results.mean_of(100 * table.column(name, "oracle_gap"), table)
            iou = TwoWays(*(_mean(table, name, metric, 100) for metric in ("iou_oracle", "iou")))
            scores = (model.dice(name, select) for select in SELECTS)
            rows.append((model.name, name, *scores, gap, iou, _distance(table, name)))
    head = ("Model", "Strategy", "DICE, oracle", "DICE, score", "Oracle gap", "JAC", "HD (px)")
    return StudyTable("strategies", 2, head, tuple(rows))


def objects(found: StudyResults, model: ModelResults) -> StudyTable:
    """Dice of every object and modality by strategy, COSMOS's tables 2 and 3; HD of the box."""
    table = model.strategies
    names = _strategies(found, table)
    rows = []
    for (kind, modality), index in results.pairs(table).items():
        part = table.rows(index)
        cells = [_two_ways(part, name) for name in names]
        counts = (len(index), len({*part.subjects}))
        rows.append((kind, modality, *counts, *cells, _distance(part, "S5")))
    head = ("Object", "Modality", "Masks", "Subjects", *names, "S5, HD (px)")
    return StudyTable(f"objects, {model.name}", 2, head, tuple(rows), plain=head)


def grids(found: StudyResults) -> StudyTable:
    """Dice of everything by the number of points, COSMOS's table 5."""
    rows = []
    for model in found.models.values():
        protocols = {side: plan.everything(side) for side in found.study.grids}
        protocols[plan.USUAL_GRID] = plan.EVERYTHING
        if (table := model.tables.get(plan.GRIDS)) is None:
            continue
        for side, name in sorted(protocols.items()):
            rows.append((model.name, f"{side} x {side}", *_both(table, name)))
    return StudyTable("grids", 2, ("Model", "Points", "DICE, oracle", "DICE, score"), tuple(rows))


def jitter(found: StudyResults) -> StudyTable:
    """Dice with moved prompts, and the loss by the largest moves, COSMOS's table 8."""
    levels = found.study.jitter
    rows = []
    for model in found.models.values():
        for move in moves(found, model):
            table = model.tables["jitter"]
            cells = [_two_ways(table, name) for name in move.protocols.values()]
            last = move.protocols[levels[-1]]
            lost = [results.drop(model, move.strategy, last, select) for select in SELECTS]
            still = _two_ways(model.strategies, move.strategy)
            rows.append((model.name, move.strategy, move.title, still, *cells, *lost))
    far = levels[-1] if levels else ""
    ends = (f"Lost by {far}, oracle", f"Lost by {far}, score")
    head = ("Model", "Strategy", "Moved", "Unmoved", *levels, *ends)
    return StudyTable("jitter", 3, head, tuple(rows))


def moves(found: StudyResults, model: ModelResults) -> list[plan.MovedPrompts]:
    """Returns the moves that a model was evaluated with."""
    known = model.tables["jitter"].protocols if "jitter" in model.tables else ()
    return [one for one in found.study.moves if {*one.protocols.values()} <= {*known}]


def factor_effects(found: StudyResults, model: ModelResults) -> EffectsOfModel:
    """Returns the effects of factors on the Dice of all strategies of a model.

    By choice of the candidate, strategy, and measure of the boundary among the factors.
    """
    table = model.strategies
    table = table.rows([row for row, mask in enumerate(table.masks) if mask.mask in found.factors])
    keys = [(select, name) for select in SELECTS for name in _strategies(found, table)]
    scores = {f"{s} {name}": results.dice(table, name, s) for s, name in keys}
    kinds = [mask.metadata.modality for mask in table.masks]
    effects: EffectsOfModel = {}
    for boundary in _BOUNDARY:
        names = ("size", "aspect", "intensity", boundary)
        columns = results.factor_columns(table, found.factors, names)
        of_scores = correlation.effects(scores, columns, kinds, list(table.subjects))
        for key, one in zip(keys, of_scores.values(), strict=True):
            effects[(*key, boundary)] = one
    return effects


def factors(
    found: StudyResults, model: ModelResults, effects: EffectsOfModel, select: Select
) -> StudyTable:
    """Rank correlations of factors with Dice, each given the others, COSMOS's table 6."""
    names = _strategies(found, model.strategies)
    rows: list[tuple[Cell, ...]] = []
    for factor, title in FACTORS.items():
        by = factor if factor in _BOUNDARY else _BOUNDARY[0]
        rows.append((title, *(effects[select, name, by].rho[factor] for name in names)))
    shares = (effects[select, name, _BOUNDARY[0]].category for name in names)
    rows.append(("Modality (share of variance)", *shares))
    name = f"factors, {model.name}, {select}"
    return StudyTable(name, 1, ("Factor", *names), tuple(rows), digits=2)


def versus(found: StudyResults) -> StudyTable:
    """Dice of every other model minus the first one's, by strategy."""
    first, *others = found.models.values()
    rows = []
    for other in others:
        for name in _strategies(found, first.strategies):
            if name in other.strategies.protocols:
                both = (first.strategies, other.strategies, name)
                gains = (results.gain(*both, select, select) for select in SELECTS)
                rows.append((f"{other.name} - {first.name}", name, *gains))
    head = ("Models", "Strategy", "DICE, oracle", "DICE, score")
    return StudyTable("models", 2, head, tuple(rows), signed=True)


def clicks(found: StudyResults) -> StudyTable:
    """Number of clicks for an IoU, and Dice over clicks."""
    shown = [count for count in SHOWN_CLICKS if count <= found.study.clicks]
    rows = []
    for model in found.models.values():
        if (table := model.tables.get("clicks")) is None:
            continue
        needed = [_mean(table, "noc", f"noc{target}") for target in (80, 85, 90)]
        failed = _mean(table, "noc", "failed90", 100)
        curve = 100 * table.steps("noc", "dice")
        dice = [results.mean_of(curve[:, count - 1], table) for count in shown]
        rows.append((model.name, *needed, failed, *dice))
    noc = ("NoC80", "NoC85", "NoC90", "Not 90 (%)")
    counts = tuple(f"{count} click{'s' * (count > 1)}" for count in shown)
    return StudyTable("clicks", 1, ("Model", *noc, *counts), tuple(rows), plain=(*noc, *counts))


def tuned(found: StudyResults) -> StudyTable:
    """Dice before and after tuning the decoder, by the box."""
    first, after = found.first, found.tuned
    if after is None or "S5" not in first.strategies.protocols:
        return StudyTable("tuning", 1, ("Scored", "Before", "After", "Gain"), ())
    ways: tuple[tuple[str, str, Select, Select], ...] = (
        ("As used: by score, then the single mask", "single", "score", "score"),
        ("By score", "three", "score", "score"),
        ("Oracle, as published", "three", "oracle", "oracle"),
    )
    rows = []
    for title, decoding, before_as, after_as in ways:
        (name,) = tuning.STRATEGIES
        both = results.aligned(first.strategies, after.tables[decoding])
        before = results.mean_of(results.dice(both[0], name, before_as), both[0])
        later = results.mean_of(results.dice(both[1], name, after_as), both[1])
        rows.append((title, before, later, results.gain(*both, name, before_as, after_as)))
    return StudyTable("tuning", 1, ("Scored", "Before", "After", "Gain"), tuple(rows))


def speed(found: StudyResults) -> StudyTable:
    """Size and seconds of every model, COSMOS's table 4."""
    rows = []
    for model in found.models.values():
        facts = model.facts
        seconds = (facts.get(name) for name in ("embed", "prompt", "everything"))
        side = facts["image_size"]
        size = f"{facts['parameters'] / 1e6:.2f} M"
        times = ("-" if each is None else f"{each:.3g}" for each in seconds)
        rows.append((model.name, size, f"{side} x {side}", *times))
    head = ("Model", "Parameters", "Input", "Embedding (s)", "Prompt (s)", "Everything (s)")
    return StudyTable("speed", 1, head, tuple(rows))


def every(found: StudyResults, effects: Mapping[str, EffectsOfModel]) -> dict[str, StudyTable]:
    """Returns all tables that have rows, by name.

    Args:
        found: Results of the study.
        effects: Effects of factors, by model, see `factor_effects`.
    """
    tables = [strategies(found), grids(found), jitter(found), versus(found), clicks(found)]
    tables += [tuned(found), speed(found)]
    for model in found.models.values():
        tables.append(objects(found, model))
        tables += [factors(found, model, effects[model.name], select) for select in SELECTS]
    return {table.name: table for table in tables if table.rows}


def _strategies(found: StudyResults, table: ScoreTable) -> Sequence[str]:
    """Returns the strategies of a study that a model was evaluated with."""
    return [name for name in found.study.strategies if name in table.protocols]


def _both(table: ScoreTable, name: str) -> tuple[Mean, Mean]:
    oracle, score = (results.mean_of(results.dice(table, name, each), table) for each in SELECTS)
    return oracle, score


def _two_ways(table: ScoreTable, name: str) -> TwoWays:
    return TwoWays(*_both(table, name))


def _distance(table: ScoreTable, name: str) -> Mean | None:
    """Returns the mean Hausdorff distance of a strategy; None where it was not run."""
    has = "hd_border_px" in table.metrics_of(name)
    return _mean(table, name, "hd_border_px") if has else None


def _mean(table: ScoreTable, name: str, metric: str, scale: float = 1) -> Mean:
    return results.mean_of(scale * table.column(name, metric), table)
