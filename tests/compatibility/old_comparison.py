"""The study of `artifacts/study.zip` as a comparison of the current version."""

import json
from pathlib import Path

from samjax.comparison import Comparison, EvalSetting, Method, TrainingStage
from samjax.training import config


def get_comparison() -> Comparison:
    general, tuned = (
        TrainingStage("only", config.from_dict(json.loads(Path(path).read_text())))
        for path in ("study/general/only/config.json", "study/tuned/seed_0/only/config.json")
    )
    settings = {"test": EvalSetting(), "dropped": EvalSetting(adapters=False)}
    rows = (("General", "general", "test"), ("Tuned", "tuned", "test"))
    return Comparison(
        data="data",
        methods={
            "general": Method("General"),
            "tuned": Method("Tuned", (tuned,), settings=settings),
        },
        seeds=(0,),
        stages=(general,),
        general_data="data",
        protocols=("bbox", "1pt"),
        overall=(*rows, ("Tuned*", "tuned", "dropped")),
        by_modality=rows,
        unseen=rows,
    )
