"""Surface metrics within an evaluation: of masks while it runs, of volumes at its end."""

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from samjax.data import run_lengths
from samjax.data.files import DataError
from samjax.data.index import Sample
from samjax.data.metadata import Metadata
from samjax.evaluation import metrics
from samjax.evaluation.metrics import surface
from samjax.evaluation.metrics.workers import SurfaceWorkers
from samjax.evaluation.prompted import Measured
from samjax.evaluation.results import EvalConfig, ImageResults, MaskResult, SliceMasks, VolumeResult

_LISTED = 3  # Masks named in an error.


def check_spacing(
    metadata: Mapping[str, Metadata], samples: Sequence[Sample], config: EvalConfig
) -> None:
    """Checks that all masks have the spacing that the metrics in mm need.

    Args:
        metadata: Metadata by the mask's path.
        samples: The images to evaluate.
        config: Settings of the evaluation.

    Raises:
        DataError: Some have none; the message names the first ones, and where spacing comes from.
    """
    masks = [mask for sample in samples for mask in sample.masks]
    needed = {"mm": "spacing", "3d": "volume_spacing"}
    for kind in config.surface:
        if kind == "px":
            continue
        lacking = [mask for mask in masks if getattr(metadata[mask], needed[kind]) is None]
        if lacking:
            columns = "row_spacing and column_spacing"
            columns += ", slice_spacing, axis and slice" if kind == "3d" else ""
            raise DataError(
                f"surface: {kind} needs the columns {columns} in split.csv or manifest.csv "
                f"(`samjax data prepare` writes them), {len(lacking)} of {len(masks)} masks "
                f"have none, such as {', '.join(lacking[:_LISTED])}"
            )


class SurfaceScorer:
    """Adds surface metrics to the masks of an evaluation; use it as a context."""

    def __init__(self, config: EvalConfig) -> None:
        self._units = tuple(unit for unit in ("px", "mm") if unit in config.surface)
        self._volumes = "3d" in config.surface
        self._waiting: collections.deque[tuple[int, Measured, SliceMasks | None]] = (
            collections.deque()
        )
        self._pool = SurfaceWorkers(config.workers if self._units else 0, config.tolerances)

    def __enter__(self) -> "SurfaceScorer":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.__exit__(*error)

    def add(self, key: int, measured: Measured) -> None:
        """Takes a mask of the image `key`."""
        of_slice = self._slice(measured)
        # The masks, packed, wait with the workers.
        self._waiting.append((key, dataclasses.replace(measured, predicted={}), of_slice))
        masks = [mask for steps in measured.predicted.values() for mask in steps]
        spacing = {"px": (1.0, 1.0), "mm": measured.result.metadata.spacing}
        for unit in self._units:
            self._pool.submit(measured.result.mask, measured.truth, masks, spacing[unit] or ())

    def finished(self, wait: bool = False) -> Iterator[tuple[int, MaskResult, SliceMasks | None]]:
        """Yields keys and results in order; those still computed only with `wait`.

        For metrics of volumes, the masks come with them.
        """
        if not self._units:
            while self._waiting:
                key, measured, of_slice = self._waiting.popleft()
                yield key, measured.finish({}), of_slice
            return
        found: list[list[dict[str, float]]] = []
        for _, values in self._pool.results(wait):
            found.append(values)
            if len(found) == len(self._units):
                key, measured, of_slice = self._waiting.popleft()
                yield key, measured.finish(self._by_protocol(measured, found)), of_slice
                found = []

    def _by_protocol(
        self, measured: Measured, found: Sequence[list[dict[str, float]]]
    ) -> dict[str, list[dict[str, float]]]:
        merged = [
            {
                f"{name}_{unit}": value
                for unit, values in zip(self._units, of_step, strict=True)
                for name, value in values.items()
            }
            for of_step in zip(*found, strict=True)
        ]
        by_protocol, first = {}, 0
        for name, steps in measured.steps.items():
            by_protocol[name] = merged[first : first + len(steps)]
            first += len(steps)
        return by_protocol

    def _slice(self, measured: Measured) -> SliceMasks | None:
        if not self._volumes:
            return None
        last = {name: _as_text(steps[-1]) for name, steps in measured.predicted.items()}
        return SliceMasks(measured.result.mask, _as_text(measured.truth), last)


def _as_text(mask: np.ndarray) -> str:
    return run_lengths.compress(run_lengths.encode(mask)["counts"])


def measure_volumes(images: Sequence[ImageResults], config: EvalConfig) -> list[VolumeResult]:
    """Compares the objects of whole volumes, made of their slices.

    A volume is a case of a dataset, in one modality and along one axis; all masks of a class in it
    are one object. Slices that were not evaluated are no part of it, and neither is what a model
    would predict there.

    Args:
        images: Results of all images, with the masks of their slices.
        config: Settings of the evaluation.

    Raises:
        DataError: Slices of a volume have different sizes or spacings.
    """
    volumes: dict[tuple[str, ...], list[tuple[MaskResult, SliceMasks]]] = {}
    for image in images:
        for result, masks in zip(image.results, image.slices, strict=True):
            of = result.metadata
            key = (of.dataset, of.case, of.modality, of.axis, of.class_name)
            volumes.setdefault(key, []).append((result, masks))
    found = []
    with SurfaceWorkers(config.workers, config.tolerances) as pool:
        for key, slices in volumes.items():
            spacing = _common(key, slices)
            truth, predicted = _stack(slices)
            pool.submit(key, truth, [*predicted.values()], spacing)
            found.append((slices[0][0].metadata, len(truth), _overlap(truth, predicted)))
        results = []
        for (metadata, count, values), (_, distances) in zip(
            found, pool.results(wait=True), strict=True
        ):
            merged = {
                name: of | {f"{metric}_mm": value for metric, value in distance.items()}
                for (name, of), distance in zip(values.items(), distances, strict=True)
            }
            results.append(VolumeResult(metadata, count, merged))
    return results


def _common(key: tuple[str, ...], slices: Sequence[tuple[MaskResult, SliceMasks]]) -> Any:
    """Returns the spacing of a volume.

    Raises:
        DataError: Its slices differ in spacing or size.
    """
    kinds = {(r.metadata.volume_spacing, r.height, r.width): r.mask for r, _ in slices}
    if len(kinds) > 1:
        raise DataError(
            f"surface: 3d needs slices of one size and spacing, volume {'/'.join(key)} has "
            f"{', '.join(f'{mask}: {kind}' for kind, mask in kinds.items())}"
        )
    return next(iter(kinds))[0]


def _stack(
    slices: Sequence[tuple[MaskResult, SliceMasks]],
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns the true and the predicted volumes, (d, h, w) bool, of all slices in between."""
    numbers = [result.metadata.slice for result, _ in slices]
    shape = slices[0][0].height, slices[0][0].width
    extent = (max(numbers) - min(numbers) + 1, *shape)
    truth = np.zeros(extent, bool)
    predicted = {name: np.zeros(extent, bool) for name in slices[0][1].predicted}
    for number, (_, masks) in zip(numbers, slices, strict=True):
        texts = [(truth, masks.truth)]
        texts += [(predicted[name], text) for name, text in masks.predicted.items()]
        for volume, text in texts:
            mask = run_lengths.decode({"size": shape, "counts": text})
            volume[number - min(numbers)] |= mask
    return truth, predicted


def _overlap(truth: np.ndarray, predicted: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    found = {}
    for name, mask in predicted.items():
        counts = int((mask & truth).sum()), int(mask.sum()), int(truth.sum())
        found[name] = {
            "dice": float(metrics.dice(*counts)),
            "iou": float(metrics.iou(*counts)),
            "volume_error": surface.volume_error(truth, mask),
        }
    return found
