"""Task-specific tuning of the decoder, by the schedule of COSMOS (section 4.12).

Only the mask decoder is trained, by box prompts, for 20 epochs of batches of two images: AdamW with
a constant learning rate of 1e-4 and a weight decay of 0.01, cross-entropy and Dice loss (squared
denominator), and the single mask. Here up to five masks of an image are drawn for a batch, in place
of all, and the loss is at the size of the network's input, in place of the image's.
"""

from pathlib import Path

from samjax import conversion
from samjax.comparison import runner
from samjax.comparison.plan import TrainingStage
from samjax.data.config import DataConfig
from samjax.data.files import DataError
from samjax.data.metadata import read_json
from samjax.losses import LossConfig
from samjax.prompting import PromptingConfig
from samjax.tasks import TrainableConfig
from samjax.training.config import Experiment, RunConfig, ValidationConfig
from samjax.training.optim import OptimConfig

STRATEGIES = ("S5",)
# COSMOS trains the single mask, and scores the best of the three by the truth.
DECODINGS = {"single": False, "three": True}
_SEED = 2023  # One of the published code's.


def experiment(checkpoint: str, data: str) -> Experiment:
    """Returns the settings of tuning a checkpoint on the split `train` of a data folder."""
    return Experiment(
        init_from=checkpoint,
        preprocessing_from="checkpoint",
        model=conversion.load_or_convert(checkpoint).config,
        data=DataConfig(root=data, batch_size=2, masks_per_image=5, seed=_SEED),
        prompting=PromptingConfig(iterations=1, box_probability=1.0, box_jitter="none"),
        loss=LossConfig(focal_weight=0, bce_weight=1, iou_weight=0, dice="squared"),
        trainable=TrainableConfig(
            encoder="frozen", prompt_encoder="frozen", iou_head=False, multimask=False
        ),
        optim=OptimConfig(schedule="constant", weight_decay=0.01, decayed="all", clip_norm=0),
        run=RunConfig(epochs=20, report=False, seed=_SEED),
        validation=ValidationConfig(every=0),
    )


def tune(checkpoint: str, data: str, folder: Path) -> Path:
    """Tunes a checkpoint, unless a folder has the tuned one; returns its model directory.

    Raises:
        Interrupted: The training was stopped; it is saved.
        DataError: The data cannot be used, or the folder has the training of another checkpoint.
    """
    stage = TrainingStage("decoder", experiment(checkpoint, data))
    settings = folder / stage.name / "config.json"
    if settings.exists() and (start := read_json(settings).get("init_from")) != checkpoint:
        raise DataError(
            f"{settings}: init_from: expected {checkpoint}, found {start}; --out takes another "
            "folder"
        )
    runner.train_stages([stage], checkpoint, folder)
    return folder / stage.name / "last"
