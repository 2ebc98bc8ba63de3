"""A comparison of two methods on phantoms, small enough for a test."""

import dataclasses
import os

from small import TINY

from samjax.comparison import Ablation, Comparison, EvalSetting, Method, TrainingStage
from samjax.data.config import DataConfig
from samjax.data.phantoms import PhantomConfig
from samjax.models import PeftConfig
from samjax.prompting import PromptingConfig
from samjax.tasks import TrainableConfig
from samjax.training.config import Experiment, RunConfig, ValidationConfig

MODEL = dataclasses.replace(TINY, image_size=32, peft=PeftConfig("none"), decoder_depth=1)


def get_comparison() -> Comparison:
    data = os.environ["TINY_COMPARISON_DATA"]
    general = Experiment(
        model=MODEL,
        data=DataConfig(root=data, batch_size=8, masks_per_image=1),
        prompting=PromptingConfig(iterations=1),
        phantoms=PhantomConfig(size=64),
        trainable=TrainableConfig(encoder="full"),
        run=RunConfig(steps=2, report=False),
        validation=ValidationConfig(every=0),
    )
    tuned = dataclasses.replace(
        general,
        model=dataclasses.replace(MODEL, peft=PeftConfig()),
        trainable=TrainableConfig(encoder="adapters"),
    )
    half = dataclasses.replace(tuned, model=dataclasses.replace(tuned.model, image_size=16))
    stages = (TrainingStage("coarse", half), TrainingStage("fine", tuned))
    settings = {"test": EvalSetting(), "dropped": EvalSetting(adapters=False)}
    rows = (("General", "general", "test"), ("Tuned", "tuned", "test"))
    return Comparison(
        data=data,
        methods={
            "general": Method("General"),
            "tuned": Method("Tuned", stages, settings=settings),
            "scratch": Method(
                "From scratch", (TrainingStage("only", general),), from_general=False
            ),
        },
        seeds=(0, 1),
        stages=(TrainingStage("only", general),),
        general_data=data,
        protocols=("bbox", "1pt", "5pt"),
        overall=(*rows, ("Tuned*", "tuned", "dropped")),
        by_modality=rows,
        unseen=rows,
        ablations=(Ablation("Start", "general", "fresh", "scratch", "tuned"),),
    )
