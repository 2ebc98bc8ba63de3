"""Three updates of the Medical SAM Adapter, against those of its published code of both kinds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_published_msa import FILES, Published

from configs import reference_msa
from samjax import models
from samjax.conversion import msa, naming
from samjax.models import groups
from samjax.tasks import LossOutput, interactive
from samjax.training import config as training_config
from samjax.training import step

pytestmark = [pytest.mark.parity, pytest.mark.heavy]
KEY_BIAS = ("k_proj.bias", "attn.qkv.bias")  # Without an exact gradient, or in part.


class Run:
    """Our updates with the fixture's images, masks and clicks."""

    def __init__(self, published):
        self.published = published
        experiment = training_config.from_config_dict(reference_msa.get_config())
        self.task = experiment.task(published.config, "logits")
        config = experiment.step(self.task, total_steps=3, steps_per_epoch=3)
        self.params = jax.tree.map(jnp.asarray, published.model.params)
        state = step.init_state(config, self.params, jax.random.key(0))
        all_groups = step.ParamGroups(groups.split(self.task.model, self.params), state.optimizer)
        trainable = all_groups.pick(self.task.first_groups, self.task.frozen)
        self.trained = {path for group in trainable.params.values() for path in group}
        update = jax.jit(step.update, static_argnums=(0, 3))
        self.losses = []
        for batch in range(3):
            rate = config.learning_rate(batch)
            trainable, _, metrics = update(config, all_groups.params, trainable, self.loss_of, rate)
            self.losses.append((float(metrics.loss), float(rate)))
        after = groups.merge(all_groups.updated(trainable).params)
        self.before, self.after = self.named(self.params), self.named(after)

    def named(self, params):
        """Returns parameters, or gradients, by the published names."""
        return {
            msa.published_name(name, self.published.config): np.asarray(leaf)
            for name, leaf in naming.state_dict(params).items()
        }

    def loss_of(self, params):
        embedding = models.encode_image(self.task.model, params, self.published.images())
        truth = jnp.asarray(self.published.arrays["truth"] > 0)
        prompts = self.published.prompts()
        loss, prediction = self.task.loss_of_prompts(params, embedding, truth, prompts)
        return loss, LossOutput(prediction, interactive.metrics_of(prediction), {})


@pytest.fixture(scope="module", params=FILES)
def run(request, method_fixtures):
    return Run(Published(method_fixtures, request.param))


def test_losses_and_rates(run):
    np.testing.assert_allclose(run.losses, run.published.arrays["train/loss_rate"], rtol=1e-5)


def test_first_gradients(run):
    gradients = run.named(jax.jit(jax.grad(lambda p: run.loss_of(p)[0]))(run.params))
    names = [name for name in run.published.arrays if name.startswith("train/grad/")]
    assert len(names) > 100
    for name in names:
        theirs, ours = run.published.arrays[name], gradients[name.removeprefix("train/grad/")]
        if name.endswith("k_proj.bias"):
            assert np.abs(ours).max() < 1e-6
        else:
            assert np.linalg.norm(ours - theirs) <= 1e-3 * np.linalg.norm(theirs), name


def test_every_parameter_after_three_updates(run):
    """Within what float32 itself is worth, by the published code's own run in float64."""
    own_error = run.published.settings["float32_against_float64"]["after3"]
    moved = 0
    for name, ours in run.after.items():
        if name.endswith(KEY_BIAS):
            continue
        theirs = run.published.arrays.get(f"train/after3/{name}", run.before[name])
        tolerance = max(1e-6, 10 * own_error[name][0]) if name in own_error else 0
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance, err_msg=name)
        moved += bool((ours != run.before[name]).any())
    assert moved > 100


def test_what_takes_no_part_stands_still(run):
    """The depth adapters, the IoU head, prompt encoder and the encoder's own weights."""
    without = {str(name) for name in run.published.arrays["train/no_gradient"]}
    assert any("Depth_Adapter" in name for name in without)
    still = {
        name
        for name in run.before
        if name.startswith("prompt_encoder")
        or (name.startswith("image_encoder") and "_Adapter." not in name)
    }
    for name in without | still:
        if name in run.before:
            np.testing.assert_array_equal(run.after[name], run.before[name], err_msg=name)
    assert not any("/depth/" in path or "iou_prediction_head" in path for path in run.trained)
