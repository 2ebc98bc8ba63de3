"""Results of an unfinished evaluation, kept on disk so that it can go on."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from samjax.data.journal import Journal
from samjax.data.metadata import Metadata
from samjax.evaluation.batches import PromptedImage
from samjax.evaluation.prompt_file import MaskPrompt
from samjax.evaluation.results import (
    ClassCounts,
    ImageResults,
    MaskResult,
    Score,
    SliceMasks,
    Uncertainty,
)

NAME = "unfinished.jsonl"
ADVICE = "Finish that evaluation, delete the file, or take another --out"

Timing = tuple[int, dict[str, float]]  # Images of a batch, and seconds of its parts.


@dataclasses.dataclass(frozen=True)
class ImageInProgress:
    """An image, and the results of its masks so far.

    Attributes:
        number: Its position among the images of the evaluation.
        image: The image.
        results: Results of the masks that are scored.
        classes: Pixels of each class, by a semantic model.
        slices: For metrics of volumes: the masks of each result.
    """

    number: int
    image: PromptedImage
    results: list[MaskResult] = dataclasses.field(default_factory=list)
    classes: dict[str, ClassCounts] = dataclasses.field(default_factory=dict)
    slices: list[SliceMasks] = dataclasses.field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether every mask that can be evaluated is scored."""
        return len(self.results) == len(self.image.prompts)

    def image_results(self) -> ImageResults:
        """Returns the results of the image."""
        image = self.image
        used = {image.sample.masks[i]: prompt for i, prompt in image.prompts.items()}
        return ImageResults(
            tuple(self.results),
            used,
            image.skipped,
            image.loaded.contents,
            self.classes,
            tuple(self.slices),
        )


class EvaluationProgress:
    """Results of an evaluation so far.

    Attributes:
        images: Results of completed images, by number.
        timings: Timings of the batches that count for FPS.
    """

    def __init__(
        self, out: str | os.PathLike[str] | None = None, run: dict[str, Any] | None = None
    ) -> None:
        """Reads the results of an earlier start, if there are any.

        Args:
            out: Folder of the report; None: nothing is saved.
            run: Identity of the evaluation: model, data, prompts, settings.

        Raises:
            DataError: The folder holds another evaluation that was stopped.
        """
        self.images: dict[int, ImageResults] = {}
        self.timings: list[Timing] = []
        self._journal = None if out is None else Journal(Path(out) / NAME, run or {}, ADVICE)
        for row in self._journal.rows if self._journal else ():
            self.images |= {int(n): _parse_image_results(one) for n, one in row["images"].items()}
            self.timings += [(count, seconds) for count, seconds in row["timings"]]

    def __enter__(self) -> "EvaluationProgress":
        return self

    def __exit__(self, *error: object) -> None:
        if self._journal:
            self._journal.close()

    def add(self, images: dict[int, ImageResults], timings: list[Timing]) -> None:
        """Adds results of images, and timings; once this returns, the results are on disk."""
        self.images |= images
        self.timings += timings
        if self._journal and images:
            rows = {str(n): dataclasses.asdict(one) for n, one in images.items()}
            self._journal.add({"images": rows, "timings": timings})

    def remove(self) -> None:
        """Deletes the file on disk, once the report is written."""
        if self._journal:
            self._journal.remove()


def _parse_image_results(fields: dict[str, Any]) -> ImageResults:
    results = tuple(
        MaskResult(
            **one
            | {
                "metadata": Metadata(**one["metadata"]),
                "scores": {name: Score(**score) for name, score in one["scores"].items()},
                "uncertainty": {
                    name: Uncertainty(**each) for name, each in one.get("uncertainty", {}).items()
                },
            }
        )
        for one in fields["results"]
    )
    prompts = {
        path: MaskPrompt(
            **one | {"box": tuple(one["box"]), "point": tuple(one["point"])},
        )
        for path, one in fields["prompts"].items()
    }
    counted = {name: ClassCounts(**one) for name, one in fields.get("classes", {}).items()}
    slices = tuple(SliceMasks(**one) for one in fields.get("slices", ()))
    return ImageResults(results, prompts, fields["skipped"], fields["contents"], counted, slices)
