"""The benchmark cases: one function for each."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import flops, harness, hugging_face, inputs, peak, published, pytorch, samjax_impl
from benchmarks.harness import Build, Measurement
from benchmarks.table import OURS, PEAK, Row, ratio, row
from samjax.conversion.convert import SAM_MED2D_PREPROCESSING
from samjax.data import index
from samjax.data.inputs import prepare_image
from samjax.inference.object_prompt import MIN_POINTS
from samjax.models.config import Dtype
from samjax.models.peft import PeftConfig

DEFAULT = "ours_default"  # The competitor with our own recipe.
LOADED = 256  # Number of images in a run of the loader.

_OTHER_TOKENS = 3  # Prompt tokens beside those for points: one for padding, two for a box.


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """Settings that all cases share.

    Attributes:
        folder: Folder for temporary files.
        checkpoint: Path of the network's parameters.
        data: A data folder.
        reference: Path of a checkout of the published code; None to leave it out.
        dtype: The type in which samjax computes.
        repeats: Timed runs of every competitor.
        machine: Result of `peak.measure`.
    """

    folder: Path
    checkpoint: str
    data: str
    reference: str | None
    dtype: Dtype
    repeats: int
    machine: Mapping[str, Any]

    def pytorch_builds(self, build: Callable, *rest: Any) -> dict[str, Build]:
        """Returns PyTorch competitors on JAX's kind of device, by precision."""
        device = "cuda" if self.machine["platform"] == "gpu" else "cpu"
        names = pytorch.PRECISIONS if device == "cuda" else pytorch.PRECISIONS[:1]
        return {name: functools.partial(build, device, name, *rest) for name in names}

    def published_builds(
        self, build: Callable, *rest: Any, needs: Sequence[str] = published.NEEDS
    ) -> dict[str, Build]:
        """Returns the published code by precision; empty if the code or a package is missing."""
        if self.reference is None or pytorch.missing_packages(needs):
            return {}
        prepared = functools.partial(build, self.reference, self.checkpoint)
        return self.pytorch_builds(prepared, *rest)

    def compare(self, builds: Mapping[str, Build], flops: int, per: int = 1) -> Row:
        """Measures a case and returns its `table.row`."""
        fastest = {PEAK: functools.partial(peak.product, self.dtype)}
        measured = harness.measure({**builds, **fastest}, self.repeats)
        return row(measured, per, flops, self.machine["flops_per_s"][self.dtype])


def encoder(config: BenchmarkConfig, _: Mapping[str, Row]) -> Row:
    """Times the encoder with adapters on a batch of images."""
    builds = {
        OURS: functools.partial(samjax_impl.encoder, config.checkpoint, config.dtype),
        **config.published_builds(published.encoder),
    }
    return config.compare(builds, flops.encoder(samjax_impl.VIT_B, inputs.BATCH))


def train_step(config: BenchmarkConfig, _: Mapping[str, Row]) -> Row:
    """Times a batch with all nine updates: the published recipe, ours as `ours_default_s`."""
    build = functools.partial(samjax_impl.train_step, config.checkpoint, config.dtype)
    builds = {
        OURS: functools.partial(build, "reference"),
        DEFAULT: functools.partial(build, "sam_med2d"),
        **config.published_builds(published.train_step),
    }
    work = {
        recipe: flops.train_step(
            samjax_impl.step_config(recipe, samjax_impl.VIT_B).task,
            inputs.TRAIN_IMAGES,
            inputs.OBJECTS,
        )
        for recipe in ("reference", "sam_med2d")
    }
    measured = config.compare(builds, work["reference"])
    seconds = float(np.median(measured["runs"][DEFAULT]["seconds"]))
    return measured | {
        "ours_default_s": seconds,
        "ours_default_flops": work["sam_med2d"],
        "ours_default_share_of_peak": work["sam_med2d"]
        / seconds
        / (1e9 * measured["peak_gflops_per_s"]),
    }


def prompt(config: BenchmarkConfig, _: Mapping[str, Row]) -> Row:
    """Times one prompt on an image that is already embedded."""
    prepared = prepare_image(inputs.photo(), inputs.SIZE, SAM_MED2D_PREPROCESSING, "bgr")[0]
    builds = {
        OURS: functools.partial(samjax_impl.prompt, config.checkpoint, config.dtype),
        **config.published_builds(published.prompt, prepared),
    }
    work = flops.decoder(samjax_impl.VIT_B, 1, MIN_POINTS + _OTHER_TOKENS)
    return config.compare(builds, work, per=inputs.CLICKS)


def evaluation(config: BenchmarkConfig, _: Mapping[str, Row]) -> Row:
    """Times the evaluation of the test images by all four protocols."""
    folder = config.folder / "published"
    folder.mkdir(exist_ok=True)
    builds = {
        OURS: functools.partial(
            samjax_impl.evaluation, config.checkpoint, config.dtype, config.data
        ),
        **config.published_builds(
            published.evaluation, config.data, str(folder), needs=published.EVALUATION_NEEDS
        ),
    }
    samples = index.load_index(config.data, "test")
    masks, rounds = sum(len(sample.masks) for sample in samples), 5  # Of `5pt`.
    work = (
        flops.encoder(samjax_impl.VIT_B, len(samples))
        + flops.prepare(samjax_impl.VIT_B, len(samples))
        + flops.decoder(samjax_impl.VIT_B, masks, 1 + _OTHER_TOKENS)
        + rounds * flops.decoder(samjax_impl.VIT_B, masks, rounds + _OTHER_TOKENS)
    )
    return config.compare(builds, work) | {"images": len(samples), "masks": masks}


def compile_s(config: BenchmarkConfig, _: Mapping[str, Row]) -> Row:
    """Times a process from its start to the end of its first training step, default recipe."""
    build = functools.partial(samjax_impl.train_step, config.checkpoint, config.dtype, "sam_med2d")
    peers = config.published_builds(published.train_step)
    runs: dict[str, list[Measurement]] = {"cold": [], "cached": [], "theirs": []}
    for repeat in range(config.repeats):
        cache = {"JAX_COMPILATION_CACHE_DIR": str(config.folder / f"cache_{repeat}")}
        runs["cold"].append(harness.measure({OURS: build}, 0, cache)[OURS])
        runs["cached"].append(harness.measure({OURS: build}, 0, cache)[OURS])
        for name, peer in list(peers.items())[:1]:
            runs["theirs"].append(harness.measure({name: peer}, 0)[name])
    split = {name: _start_times(starts) for name, starts in runs.items() if starts}
    whole = {name: float(np.median(one["seconds"])) for name, one in split.items()}
    return {
        **ratio(whole["cold"], whole.get("theirs")),
        "cached_s": whole["cached"],
        "split": split,
    }


def _start_times(starts: Sequence[Measurement]) -> Row:
    """Returns seconds of whole starts, and medians until weights are loaded and of the rest."""
    return {
        "seconds": [start.start_seconds for start in starts],
        "process_and_weights_s": float(np.median([start.build_seconds for start in starts])),
        "first_step_s": float(
            np.median([start.start_seconds - start.build_seconds for start in starts])
        ),
    }


def loader(config: BenchmarkConfig, report: Mapping[str, Row]) -> Row:
    """Compares the images a second that the loader delivers with those that training uses."""
    builds = {OURS: functools.partial(samjax_impl.loader, config.data, LOADED)}
    measured = harness.measure(builds, config.repeats)[OURS]
    loaded, needed = LOADED / measured.median, None
    if "train_step" in report:
        needed = inputs.TRAIN_IMAGES / report["train_step"]["ours_default_s"]
    return {
        "images_per_s": loaded,
        "eaten_per_s": needed,
        "times_as_fast": loaded / needed if needed else None,
        "seconds": measured.seconds,
    }


def hugging_face_model(config: BenchmarkConfig, _: Mapping[str, Row]) -> Row:
    """Times the encoder without adapters and the decoder, compared with Hugging Face's."""
    if pytorch.missing_packages(hugging_face.NEEDS):
        return {"encoder": None, "decoder": None}
    checkpoint = str(config.folder / "hugging_face")
    harness.run_isolated(functools.partial(hugging_face.write_checkpoint, checkpoint))
    plain = dataclasses.replace(samjax_impl.VIT_B, peft=PeftConfig("none"))
    work = {
        "encoder": flops.encoder(plain, inputs.BATCH),
        "decoder": flops.decoder(plain, inputs.OBJECTS, 1 + _OTHER_TOKENS),
    }
    return {
        name: config.compare(
            {
                OURS: functools.partial(getattr(samjax_impl, name), checkpoint, config.dtype),
                **config.pytorch_builds(functools.partial(getattr(hugging_face, name), checkpoint)),
            },
            work[name],
        )
        for name in work
    }
