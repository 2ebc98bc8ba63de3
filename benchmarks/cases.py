"""The cases that are compared, one function each."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import flops, harness, hugging_face, inputs, peak, published, pytorch, samjax_impl
from benchmarks.harness import Build, Measured
from benchmarks.table import OURS, PEAK, Row, ratio, row
from samjax.conversion.convert import SAM_MED2D_INPUT
from samjax.data import index
from samjax.data.inputs import prepare_image
from samjax.evaluation.results import EvalConfig
from samjax.inference.objects import MIN_POINTS
from samjax.models.config import Dtype, PeftConfig

DEFAULT = "ours_default"  # The contender with our own recipe.
LOADED = 256  # Images that the loader is timed with.

_OTHER_TOKENS = 3  # Of a prompt, beside its room for points: padding, and two for a box.


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all cases share.

    Attributes:
        folder: Where they may write.
        checkpoint: The parameters.
        data: A data folder.
        reference: A checkout of the published code; None to do without.
        dtype: What samjax computes in.
        repeats: Timed runs of every contender.
        machine: See `peak.measure`.
    """

    folder: Path
    checkpoint: str
    data: str
    reference: str | None
    dtype: Dtype
    repeats: int
    machine: Mapping[str, Any]

    def in_each_precision(self, build: Callable, *rest: Any) -> dict[str, Build]:
        """PyTorch contenders on JAX's kind of device, by precision."""
        device = "cuda" if self.machine["platform"] == "gpu" else "cpu"
        names = pytorch.PRECISIONS if device == "cuda" else pytorch.PRECISIONS[:1]
        return {name: functools.partial(build, device, name, *rest) for name in names}

    def published(
        self, build: Callable, *rest: Any, needs: Sequence[str] = published.NEEDS
    ) -> dict[str, Build]:
        """The published code's contenders; none without a checkout or what it needs."""
        if self.reference is None or pytorch.lacking(needs):
            return {}
        prepared = functools.partial(build, self.reference, self.checkpoint)
        return self.in_each_precision(prepared, *rest)

    def compare(self, builds: Mapping[str, Build], flops: int, per: int = 1) -> Row:
        """Measures a case; see `table.row`."""
        fastest = {PEAK: functools.partial(peak.product, self.dtype)}
        measured = harness.measure({**builds, **fastest}, self.repeats)
        return row(measured, per, flops, self.machine["flops_per_s"][self.dtype])


def encoder(setting: Setting, _: Mapping[str, Row]) -> Row:
    """Embeds a batch of images, with adapters."""
    builds = {
        OURS: functools.partial(samjax_impl.encoder, setting.checkpoint, setting.dtype),
        **setting.published(published.encoder),
    }
    return setting.compare(builds, flops.encoder(samjax_impl.VIT_B, inputs.BATCH))


def train_step(setting: Setting, _: Mapping[str, Row]) -> Row:
    """One batch with all nine updates: the published recipe, and ours as `ours_default_s`."""
    build = functools.partial(samjax_impl.train_step, setting.checkpoint, setting.dtype)
    builds = {
        OURS: functools.partial(build, "reference"),
        DEFAULT: functools.partial(build, "sam_med2d"),
        **setting.published(published.train_step),
    }
    work = {
        recipe: flops.train_step(
            samjax_impl.step_recipe(recipe, samjax_impl.VIT_B), inputs.TRAIN_IMAGES, inputs.OBJECTS
        )
        for recipe in ("reference", "sam_med2d")
    }
    measured = setting.compare(builds, work["reference"])
    seconds = float(np.median(measured["runs"][DEFAULT]["seconds"]))
    return measured | {
        "ours_default_s": seconds,
        "ours_default_flops": work["sam_med2d"],
        "ours_default_share_of_peak": work["sam_med2d"]
        / seconds
        / (1e9 * measured["peak_gflops_per_s"]),
    }


def prompt(setting: Setting, _: Mapping[str, Row]) -> Row:
    """One prompt about an image that is embedded."""
    prepared = prepare_image(inputs.photo(), inputs.SIZE, SAM_MED2D_INPUT, "bgr")[0]
    builds = {
        OURS: functools.partial(samjax_impl.prompt, setting.checkpoint, setting.dtype),
        **setting.published(published.prompt, prepared),
    }
    work = flops.decoder(samjax_impl.VIT_B, 1, MIN_POINTS + _OTHER_TOKENS)
    return setting.compare(builds, work, per=inputs.CLICKS)


def evaluation(setting: Setting, _: Mapping[str, Row]) -> Row:
    """The test images of the data folder, by all four protocols."""
    folder = setting.folder / "published"
    folder.mkdir(exist_ok=True)
    builds = {
        OURS: functools.partial(
            samjax_impl.evaluation, setting.checkpoint, setting.dtype, setting.data
        ),
        **setting.published(
            published.evaluation, setting.data, str(folder), needs=published.EVALUATION_NEEDS
        ),
    }
    samples = index.load_index(setting.data, "test")
    masks, rounds = sum(len(sample.masks) for sample in samples), EvalConfig().rounds
    work = (
        flops.encoder(samjax_impl.VIT_B, len(samples))
        + flops.prepare(samjax_impl.VIT_B, len(samples))
        + flops.decoder(samjax_impl.VIT_B, masks, 1 + _OTHER_TOKENS)
        + rounds * flops.decoder(samjax_impl.VIT_B, masks, rounds + _OTHER_TOKENS)
    )
    return setting.compare(builds, work) | {"images": len(samples), "masks": masks}


def compile_s(setting: Setting, _: Mapping[str, Row]) -> Row:
    """From the start of a process to the end of its first training step, our recipe."""
    build = functools.partial(
        samjax_impl.train_step, setting.checkpoint, setting.dtype, "sam_med2d"
    )
    peers = setting.published(published.train_step)
    runs: dict[str, list[Measured]] = {"cold": [], "cached": [], "theirs": []}
    for repeat in range(setting.repeats):
        cache = {"JAX_COMPILATION_CACHE_DIR": str(setting.folder / f"cache_{repeat}")}
        runs["cold"].append(harness.measure({OURS: build}, 0, cache)[OURS])
        runs["cached"].append(harness.measure({OURS: build}, 0, cache)[OURS])
        for name, peer in list(peers.items())[:1]:
            runs["theirs"].append(harness.measure({name: peer}, 0)[name])
    split = {name: _split(starts) for name, starts in runs.items() if starts}
    whole = {name: float(np.median(one["seconds"])) for name, one in split.items()}
    return {
        **ratio(whole["cold"], whole.get("theirs")),
        "cached_s": whole["cached"],
        "split": split,
    }


def _split(starts: Sequence[Measured]) -> Row:
    """Seconds of whole starts; medians of the part up to loaded weights, and of the rest."""
    return {
        "seconds": [start.start_seconds for start in starts],
        "process_and_weights_s": float(np.median([start.build_seconds for start in starts])),
        "first_step_s": float(
            np.median([start.start_seconds - start.build_seconds for start in starts])
        ),
    }


def loader(setting: Setting, done: Mapping[str, Row]) -> Row:
    """Images that training data bring in a second, and that a training step takes."""
    builds = {OURS: functools.partial(samjax_impl.loader, setting.data, LOADED)}
    measured = harness.measure(builds, setting.repeats)[OURS]
    loaded, eaten = LOADED / measured.median, None
    if "train_step" in done:
        eaten = inputs.TRAIN_IMAGES / done["train_step"]["ours_default_s"]
    return {
        "images_per_s": loaded,
        "eaten_per_s": eaten,
        "times_as_fast": loaded / eaten if eaten else None,
        "seconds": measured.seconds,
    }


def against_hugging_face(setting: Setting, _: Mapping[str, Row]) -> Row:
    """Encoder without adapters, and decoder, beside Hugging Face's."""
    if pytorch.lacking(hugging_face.NEEDS):
        return {"encoder": None, "decoder": None}
    checkpoint = str(setting.folder / "hugging_face")
    harness.alone(functools.partial(hugging_face.write_checkpoint, checkpoint))
    plain = dataclasses.replace(samjax_impl.VIT_B, peft=PeftConfig("none"))
    work = {
        "encoder": flops.encoder(plain, inputs.BATCH),
        "decoder": flops.decoder(plain, inputs.OBJECTS, 1 + _OTHER_TOKENS),
    }
    return {
        name: setting.compare(
            {
                OURS: functools.partial(getattr(samjax_impl, name), checkpoint, setting.dtype),
                **setting.in_each_precision(
                    functools.partial(getattr(hugging_face, name), checkpoint)
                ),
            },
            work[name],
        )
        for name in work
    }
