"""Choice among variants of a method, by their scores on validation images.

The images are held out of the training split, by subject; test images take no part.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from samjax.data.files import write_whole

NAME = "choice.json"
_SCORE = "validation/dice"


@dataclasses.dataclass(frozen=True)
class Choice:
    """The variant of a method that is used with every seed.

    Attributes:
        name: Its name.
        scores: Validation score of every variant, by name: mean Dice over its protocols.
    """

    name: str
    scores: Mapping[str, float]


def validation_score(folder: Path) -> float:
    """Returns the last validation score of the training in a folder.

    Raises:
        ValueError: It has no validation.
    """
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    scores = [row[_SCORE] for row in rows if _SCORE in row]
    if not scores:
        raise ValueError(f"{folder}: expected a validation to choose by, found none in its metrics")
    return scores[-1]


def write(folder: Path, scores: Mapping[str, float]) -> None:
    """Writes the choice of the best score into a method's folder; of equal ones, the first."""
    best = max(scores, key=lambda name: scores[name])
    content = dataclasses.asdict(Choice(best, dict(scores)))
    write_whole(folder / NAME, (json.dumps(content, indent=2) + "\n").encode())


def read(folder: Path) -> Choice | None:
    """Reads the choice in a method's folder; None before it is made."""
    path = folder / NAME
    return Choice(**json.loads(path.read_text())) if path.exists() else None
