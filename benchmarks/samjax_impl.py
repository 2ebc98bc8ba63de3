"""samjax as a competitor; each function builds the run to measure."""

import dataclasses
import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import inputs
from benchmarks.harness import Run
from samjax import conversion, models, runtime, types
from samjax.conversion import convert
from samjax.data import index, pipeline
from samjax.evaluation import evaluator
from samjax.evaluation.results import EvalConfig
from samjax.inference import batch as inference_batch
from samjax.inference import pack_weights, predictor
from samjax.models import directory
from samjax.models.config import Dtype
from samjax.tasks import InteractiveTask
from samjax.tasks.interactive import Batch
from samjax.training import config as training_config
from samjax.training import step

# The network in the checkpoint of `write_checkpoint`.
VIT_B = models.vit_b(image_size=inputs.SIZE, peft=models.PeftConfig(init="kaiming"))


def write_checkpoint(path: str) -> None:
    """Writes a ViT-B with adapters and random weights, which all competitors load."""
    params = jax.jit(functools.partial(models.init, VIT_B))(jax.random.key(0))
    model = directory.Model(VIT_B, convert.SAM_MED2D_PREPROCESSING, jax.device_get(params))
    conversion.to_torch(path, model)


def encoder(checkpoint: str, dtype: Dtype) -> Run:
    """Embeds a batch of images: (BATCH, g, g, c)."""
    network = _load(checkpoint, dtype)
    images = jnp.asarray(inputs.images())

    def run() -> np.ndarray:
        return np.asarray(inference_batch.encode(network.config, network.params, images).embedding)

    return run


def decoder(checkpoint: str, dtype: Dtype) -> Run:
    """Decodes one point for each of OBJECTS objects in an embedded image: (OBJECTS, 3, m, m)."""
    network = _load(checkpoint, dtype)
    images = jnp.asarray(inputs.images()[:1])
    features = inference_batch.encode(network.config, network.params, images)
    count = inputs.OBJECTS
    _, _, points = inputs.objects(1)
    prompts = dataclasses.replace(
        types.no_prompts(count, 1, 1, network.config.mask_size),
        points=jnp.asarray(points).reshape(count, 1, 1, 2),
        labels=jnp.full((count, 1, 1), types.FOREGROUND, jnp.int32),
    )
    first = jnp.zeros(count, jnp.int32)
    kind, weights = network.preprocessing.mask_prompt, pack_weights(network.params)

    def run() -> np.ndarray:
        decoded = inference_batch.decode(network.config, weights, features, first, prompts, kind)
        return np.asarray(decoded[0])

    return run


def prompt(checkpoint: str, dtype: Dtype) -> Run:
    """Predicts masks from clicks on an embedded image: logits (CLICKS, m, m) of the best masks."""
    sam_predictor = predictor.Predictor(_load(checkpoint, dtype))
    sam_predictor.set_image(inputs.photo(), "BGR")
    clicks = inputs.clicks()

    def run() -> np.ndarray:
        results = [sam_predictor.predict(points, labels, best=True) for points, labels in clicks]
        return np.concatenate([low_res for _, _, low_res in results])

    return run


def train_step(checkpoint: str, dtype: Dtype, recipe: str) -> Run:
    """Trains one batch by a recipe of `configs/`; the run returns the loss of each iteration."""
    network = _load(checkpoint, dtype)
    config = step_config(recipe, network.config)
    truth, boxes, _ = inputs.objects()
    batch = Batch(
        image=jnp.asarray(inputs.images()[: inputs.TRAIN_IMAGES]),
        masks=jnp.asarray(truth, jnp.uint8),
        boxes=jnp.asarray(boxes),
        seed=jnp.arange(inputs.TRAIN_IMAGES, dtype=jnp.uint32),
    )
    state = step.init_state(config, network.params, jax.random.key(0))
    del network  # The state is donated: nothing else may hold its parameters.
    compiled = jax.jit(functools.partial(step.train_step, config), donate_argnums=0)

    def run() -> np.ndarray:
        nonlocal state
        state, metrics = jax.block_until_ready(compiled(state, batch))
        return np.asarray(metrics.loss)

    return run


def step_config(name: str, model: models.SamConfig) -> step.StepConfig[InteractiveTask]:
    """Returns a recipe of `configs/` in the form of the training step, for a long run."""
    settings = _settings(name)
    task = settings.interactive_task(model, settings.preprocessing.mask_prompt)
    return settings.step(task, 1000, 1000)


def evaluation(checkpoint: str, dtype: Dtype, data: str) -> Run:
    """Evaluates the test images of a data folder by all protocols; the run returns the box Dice."""
    network = _load(checkpoint, dtype)
    samples = index.load_index(data, "test")

    def run() -> float:
        evaluation = evaluator.evaluate(network, data, samples, EvalConfig(), progress=False)
        return float(np.mean([result.scores["bbox"].dice for result in evaluation.results]))

    return run


def loader(data: str, images: int) -> Run:
    """Loads a number of training images of a data folder, prepared by the default recipe."""
    runtime.prepare()
    settings = _settings("sam_med2d")
    config = dataclasses.replace(settings.data, root=data)
    samples = index.load_index(data, "train")
    batches = pipeline.training_iterator(samples, config, settings.preprocessing, inputs.SIZE)

    def run() -> None:
        for _ in range(images // config.batch_size):
            next(batches)

    return run


def _settings(recipe: str) -> training_config.Experiment:
    return training_config.from_config_dict(
        importlib.import_module(f"configs.{recipe}").get_config()
    )


def _load(checkpoint: str, dtype: Dtype) -> directory.Model:
    """Loads a network that computes in `dtype`, with its parameters on the device."""
    runtime.prepare()
    loaded = conversion.load_or_convert(checkpoint)
    config = dataclasses.replace(loaded.config, dtype=dtype)
    return dataclasses.replace(loaded, config=config, params=jax.device_put(loaded.params))
