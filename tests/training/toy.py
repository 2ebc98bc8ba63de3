"""A very small network, training task and batch."""

import dataclasses
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from small import random_params

from samjax import losses, models, prompting
from samjax.data import phantoms
from samjax.models import PeftConfig
from samjax.tasks import InteractiveTask, TrainableConfig
from samjax.tasks.interactive import Batch
from samjax.training import config as training_config
from samjax.training import optim, step
from samjax.training.config import Experiment

SIZE = 32
MODEL = models.tiny(image_size=SIZE, decoder_depth=1, peft=PeftConfig(init="kaiming"))
# Iteration 1 gives points; 2 and 3 give only the mask, whatever the key.
PROMPTING = prompting.PromptingConfig(iterations=4, point_counts=(1, 3))
TASK = InteractiveTask(
    model=MODEL,
    mask_prompt="sigmoid",
    prompting=PROMPTING,
    loss=losses.LossConfig(),
    trainable=TrainableConfig(),
)
STEP = step.StepConfig(
    TASK,
    optim=optim.OptimConfig(learning_rate=2e-3, schedule="constant"),
    total_steps=10,
    steps_per_epoch=5,
)


def variant(**fields: object) -> step.StepConfig:
    """Returns the training step of a task with other fields."""
    return dataclasses.replace(STEP, task=dataclasses.replace(TASK, **fields))


FIRST_ONLY = variant(trainable=TrainableConfig(prompt_encoder="first"))
FT_SAM = variant(trainable=TrainableConfig(encoder="frozen", prompt_encoder="frozen"))


def params(model=MODEL):
    return jax.tree.map(jnp.asarray, random_params(model))


def batch(images: int, objects: int) -> Batch:
    """Noise with brighter ellipses, which are the masks."""
    rng = np.random.default_rng(0)
    masks = np.zeros((images, objects, SIZE, SIZE), np.uint8)
    boxes = np.zeros((images, objects, 4), np.float32)
    for b, k in np.ndindex(images, objects):
        (x, y), (rx, ry) = rng.integers(10, 22, 2), rng.integers(4, 9, 2)
        cv2.ellipse(masks[b, k], (int(x), int(y)), (int(rx), int(ry)), 0, 0, 360, 1, -1)
        boxes[b, k] = x - rx, y - ry, x + rx + 1, y + ry + 1
    image = rng.normal(0, 0.3, (images, SIZE, SIZE, 3)) + masks.any(1)[..., None]
    seed = rng.integers(2**32, size=images, dtype=np.uint32)
    return Batch(image.astype(np.float32), masks, boxes, seed)


def key(*starts_with_box: bool, task: InteractiveTask = TASK) -> jax.Array:
    """A key with which the first batches start with a box, or not, as told."""
    for seed in range(10_000):
        root = jax.random.key(seed)
        keys = [
            jax.random.split(jax.random.fold_in(root, i))[0] for i in range(len(starts_with_box))
        ]
        plans = [prompting.plan(k, task.prompting).starts_with_box for k in keys]
        if [bool(box) for box in plans] == list(starts_with_box):
            return root
    raise AssertionError("no such key")


def write_phantoms(root: Path) -> Path:
    phantoms.write_phantoms(root, phantoms.PhantomConfig(16, 4, size=48, seed=1))
    return root


def recipe(experiment: Experiment, root: Path, **fields: object) -> ml_collections.ConfigDict:
    """Settings of a run on phantoms, three batches long."""
    config = training_config.to_config_dict(experiment)
    config.data.update(root=str(root), batch_size=8, threads=1)
    config.run.update(steps=3, report=False)
    config.validation.every = 0
    config.log.update(every=1, picture_every=0)
    config.update_from_flattened_dict(fields)
    return config


def arguments(root: Path, workdir: Path, **fields: object) -> list[str]:
    """Command line of `train.py` for a run on phantoms, six batches long."""
    nested = ("tiny_vit", "peft", "head")
    plain = {name: value for name, value in vars(MODEL).items() if name not in nested}
    plain |= {f"peft.{name}": value for name, value in vars(MODEL.peft).items()}
    network = {f"model.{name}": value for name, value in plain.items()}
    # One process started by itself has one device, so any batch will do.
    chosen = {
        **network,
        "data.root": str(root),
        "data.batch_size": 4,
        "data.masks_per_image": 2,
        "data.validation_fraction": 0.0,
        "data.threads": 1,
        "validation.every": 0,
        "prompting.iterations": 2,
        "prompting.point_counts": (1,),
        "prompting.mask_only": False,
        "run.steps": 6,
        "run.report": False,
        "checkpoint.every": 2,
        "log.every": 1,
        "log.picture_every": 0,
        **fields,
    }
    flags = [f"--config.{name}={value}" for name, value in chosen.items()]
    return ["--config", "configs/sam_med2d.py", "--workdir", str(workdir), *flags]
