"""Results of a study: reports of each model, factors of each mask, and effects between them."""

import csv
import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from samjax.comparison.cosmos import tuning
from samjax.comparison.cosmos.plan import GRIDS, STILL, CosmosStudy
from samjax.comparison.factors import Factors
from samjax.data.metadata import read_json
from samjax.evaluation import report
from samjax.evaluation.metrics import Mean, bootstrap_means
from samjax.evaluation.table import ScoreTable

Select = Literal["oracle", "score"]
SELECTS: tuple[Select, ...] = ("oracle", "score")
FACTORS = "factors.csv"
MODEL = "model.json"
MODELS = "models"
TUNED = "tuning"


@dataclasses.dataclass(frozen=True)
class ModelResults:
    """Results of one model.

    Attributes:
        name: Its name in the study.
        facts: `checkpoint`, `parameters`, `image_size`, `device`; seconds to `embed` an image, to
            answer a `prompt`, and to segment `everything`, None where it cannot; and the parts
            that were `left_out`, of whose prompts it takes none.
        strategies: Scores of all strategies.
        tables: Scores of every part of the study that was run.
        report: Content of `report.json` of the first part.
    """

    name: str
    facts: Mapping[str, Any]
    strategies: ScoreTable
    tables: Mapping[str, ScoreTable]
    report: Mapping[str, Any]

    def dice(self, strategy: str, select: Select) -> Mean:
        """Returns the mean Dice of a strategy, %."""
        return mean_of(dice(self.strategies, strategy, select), self.strategies)


@dataclasses.dataclass(frozen=True)
class StudyResults:
    """Results of a study.

    Attributes:
        study: Its settings.
        models: Results by name of the model, in order.
        factors: Factors by path of the mask.
        tuned: Results of the first model after tuning, by `samjax.comparison.cosmos.tuning`'s
            ways of decoding; None without.
    """

    study: CosmosStudy
    models: dict[str, ModelResults]
    factors: dict[str, Factors]
    tuned: ModelResults | None

    @property
    def first(self) -> ModelResults:
        """Results of the first model."""
        return next(iter(self.models.values()))


def load(study: CosmosStudy, out: Path) -> StudyResults:
    """Reads the results of a study that has been run."""
    models = {
        name: _load_model(name, out / MODELS / name, study.parts) for name in study.checkpoints
    }
    tuned = out / TUNED
    after = _load_model("tuned", tuned, tuning.DECODINGS) if study.tune else None
    return StudyResults(study, models, read_factors(out / FACTORS), after)


def _load_model(name: str, folder: Path, parts: Iterable[str]) -> ModelResults:
    facts = read_json(folder / MODEL)
    parts = [part for part in parts if part not in facts.get("left_out", ())]
    tables = {part: ScoreTable.read(folder / part) for part in parts}
    content = read_json(folder / parts[0] / report.NAME)
    still = [tables[part] for part in (STILL, GRIDS) if part in tables] or [*tables.values()]
    return ModelResults(name, facts, functools.reduce(joined, still), tables, content)


def read_factors(path: Path) -> dict[str, Factors]:
    """Reads factors of masks, as `run` writes them."""
    names = [field.name for field in dataclasses.fields(Factors)]
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {row["mask"]: Factors(**{name: float(row[name]) for name in names}) for row in rows}


def dice(table: ScoreTable, protocol: str, select: Select) -> np.ndarray:
    """Returns the Dice of every mask, %: of the best candidate by the truth, or by its score."""
    return 100 * table.column(protocol, "dice" if select == "score" else "dice_oracle")


def mean_of(values: np.ndarray, table: ScoreTable) -> Mean:
    """Returns a mean over the masks of a table, with its interval over subjects."""
    return bootstrap_means(values[:, None], table.subjects)[0]


def difference(table: ScoreTable, more: str, less: str, select: Select) -> Mean:
    """Returns the mean difference of Dice between two protocols on the same masks, %."""
    return mean_of(dice(table, more, select) - dice(table, less, select), table)


def drop(model: ModelResults, strategy: str, protocol: str, select: Select) -> Mean:
    """Returns the Dice that a strategy loses where its prompt is moved, %."""
    still, moved = aligned(model.strategies, model.tables["jitter"])
    lost = dice(still, strategy, select) - dice(moved, protocol, select)
    return mean_of(lost, still)


def gain(
    before: ScoreTable, after: ScoreTable, strategy: str, select: Select, after_as: Select
) -> Mean:
    """Returns the mean difference of Dice between two models on the same masks, %.

    Args:
        before: Scores of one model.
        after: Scores of the other.
        strategy: The strategy.
        select: Choice of the candidate of the first model.
        after_as: Choice of the candidate of the other.
    """
    one, two = aligned(before, after)
    return mean_of(dice(two, strategy, after_as) - dice(one, strategy, select), one)


def aligned(one: ScoreTable, two: ScoreTable) -> tuple[ScoreTable, ScoreTable]:
    """Returns the rows of the masks that both tables have, in the same order.

    A mask that vanishes at the input size of one model is not among its scores.

    Raises:
        ValueError: They have no mask in common.
    """
    known = {mask.mask for mask in two.masks}
    common = [mask.mask for mask in one.masks if mask.mask in known]
    if not common:
        raise ValueError("scores: expected masks that both tables have, found none")
    return one.of_masks(common), two.of_masks(common)


def joined(one: ScoreTable, two: ScoreTable) -> ScoreTable:
    """Returns the columns of two tables for the masks that both have.

    Columns of both, such as those of the filled box, are those of the first.
    """
    first, second = aligned(one, two)
    new = [i for i, column in enumerate(second.columns) if column not in first.columns]
    columns = (*first.columns, *(second.columns[i] for i in new))
    values = np.concatenate([first.values, second.values[:, new]], axis=1)
    return ScoreTable(first.masks, columns, values)


def pairs(table: ScoreTable) -> dict[tuple[str, str], list[int]]:
    """Returns the rows of every pair of an object and a modality, by name."""
    found: dict[tuple[str, str], list[int]] = {}
    for row, mask in enumerate(table.masks):
        pair = (mask.metadata.class_name, mask.metadata.modality)
        found.setdefault(pair, []).append(row)
    return dict(sorted(found.items()))


def factor_columns(
    table: ScoreTable, factors: Mapping[str, Factors], names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Returns factors of the masks of a table, by name."""
    of_masks = [factors[mask.mask] for mask in table.masks]
    return {name: np.array([getattr(one, name) for one in of_masks]) for name in names}


def is_decided(mean: Mean, holds: Callable[[float], bool]) -> bool:
    """Whether a condition holds at both ends of an interval."""
    return mean.low is not None and mean.high is not None and holds(mean.low) and holds(mean.high)
