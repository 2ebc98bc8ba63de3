"""One batch of the published code: nine losses, first gradients, every parameter's change."""

import jax
import jax.numpy as jnp
import numpy as np
import published
import pytest
from flax import traverse_util

from configs import reference
from samjax import losses, masks, models
from samjax.conversion import naming
from samjax.models import groups
from samjax.tasks import LossOutput, interactive
from samjax.training import config as training_config
from samjax.training import step

pytestmark = [pytest.mark.parity, pytest.mark.heavy]


def reference_step(model) -> step.StepConfig:
    """Returns the step of the recipe that reproduces the published code."""
    settings = training_config.from_config_dict(reference.get_config())
    task = settings.task(model, settings.preprocessing.mask_prompt)
    return settings.step(task, total_steps=1, steps_per_epoch=1)


class Run:
    """Our nine updates with the fixture's own prompts."""

    def __init__(self, fixtures, start):
        self.theirs = dict(np.load(fixtures / f"nine_steps_{start}_first.npz"))
        self.forward = published.forward(fixtures)
        model = published.load(fixtures, published.ADAPTED)
        config = reference_step(model.config)
        self.task = config.task
        self.before = jax.tree.map(jnp.asarray, model.params)
        state = step.init_state(config, self.before, jax.random.key(0))
        all_groups = step.ParamGroups(groups.split(self.task.model, self.before), state.optimizer)
        self.first_prompts = self.prompts(0, None, start)
        trainable = all_groups.pick(self.task.first_groups, "")
        trainable, (embedding, prediction), metrics = jax.jit(self.first_update, static_argnums=0)(
            config, all_groups.params, trainable, jnp.asarray(start == "box")
        )
        self.predictions, self.metrics = [prediction], [metrics]
        all_groups = all_groups.updated(trainable)
        trainable = all_groups.pick(self.task.later_groups, "")
        later = jax.jit(self.later_update, static_argnums=0)
        for i in range(1, 9):
            prompts = self.prompts(i, self.predictions[-1].low_res)
            mask_only = jnp.asarray(self.theirs[f"{i}/mask_only"])
            trainable, prediction, metrics = later(
                config, all_groups.params, trainable, embedding, prompts, mask_only
            )
            self.predictions.append(prediction)
            self.metrics.append(metrics)
        self.learned = all_groups.updated(trainable)
        self.after = groups.merge(self.learned.params)

    def first_update(self, config, fixed, trainable, box_first):
        """Updates by the loss of the fixture's first prompts."""

        def loss_of(params):
            embedding = models.encode_image(self.task.model, params, self.forward.images)
            loss, prediction = self.task.loss_of_prompts(
                params, embedding, self.forward.truth, self.first_prompts
            )
            active = {"points": ~box_first, "boxes": box_first, "masks": jnp.zeros((), bool)}
            carry = jax.lax.stop_gradient(embedding), prediction
            return loss, LossOutput(carry, interactive.metrics_of(prediction), active)

        return step.update(config, fixed, trainable, loss_of, jnp.asarray(1e-4))

    def later_update(self, config, fixed, trainable, embedding, prompts, mask_only):
        """Updates by the loss of the prompts of a later iteration."""

        def loss_of(params):
            loss, prediction = self.task.loss_of_prompts(
                params, embedding, self.forward.truth, prompts
            )
            metrics = interactive.metrics_of(prediction)
            return loss, LossOutput(prediction, metrics, {"points": ~mask_only})

        return step.update(config, fixed, trainable, loss_of, jnp.asarray(1e-4))

    def prompts(self, i, low_res, start=None):
        size, max_points = self.task.model.mask_size, self.task.prompting.max_points
        arrays = self.forward.arrays
        if start == "box":
            return self.forward.prompts(size, max_points, boxes=arrays["boxes"])
        if start == "point":
            points = arrays["point_coords"], arrays["point_labels"]
            return self.forward.prompts(size, max_points, points=points)
        mask = masks.mask_prompt(low_res, "sigmoid")
        points = None
        if not self.theirs[f"{i}/mask_only"]:
            points = self.theirs[f"{i}/point_coords"], self.theirs[f"{i}/point_labels"]
        return self.forward.prompts(size, max_points, points=points, mask=mask)


@pytest.fixture(scope="module", params=["box", "point"])
def run(request, fixtures):
    return Run(fixtures, request.param)


def test_first_loss_terms(run):
    metrics, theirs = run.metrics[0], run.theirs
    for name, ours in {
        "focal": metrics.terms["focal"],
        "dice": metrics.terms["dice_loss"],
        "iou_mse": metrics.terms["iou_error"],
        "loss": metrics.loss,
    }.items():
        np.testing.assert_allclose(ours, theirs[f"0/{name}"], rtol=1e-5, err_msg=name)


def test_first_gradients(run):
    def loss(learning):
        params = groups.merge({**groups.split(run.task.model, run.before), **learning})
        embedding = models.encode_image(run.task.model, params, run.forward.images)
        low_res, iou = models.predict_masks(run.task.model, params, embedding, run.first_prompts)
        return losses.segmentation_loss(low_res, iou, run.forward.truth, run.task.loss)[0]

    learning = groups.pick(groups.split(run.task.model, run.before), run.task.first_groups)
    gradients = groups.merge(jax.jit(jax.grad(loss))(learning))
    ours = naming.state_dict(gradients)
    named = [name for name in run.theirs if name.startswith("0/grad/")]
    assert named
    for name in named:
        theirs = run.theirs[name]
        difference = np.linalg.norm(ours[name.removeprefix("0/grad/")] - theirs)
        assert difference <= 1e-3 * np.linalg.norm(theirs), name


@pytest.mark.parametrize("i", range(9))
def test_losses(run, i):
    np.testing.assert_allclose(run.metrics[i].loss, run.theirs[f"{i}/loss"], rtol=1e-5)


def test_selected_iou_and_logits(run):
    for i, prediction in enumerate(run.predictions):
        theirs = run.forward.by_object(run.theirs[f"{i}/iou"][:, 0])
        np.testing.assert_allclose(prediction.iou, theirs, atol=1e-4)
    last = run.forward.by_object(run.theirs["8/low_res_logits"][:, 0])
    np.testing.assert_allclose(run.predictions[8].low_res, last, atol=1e-4)


def test_exactly_the_same_parameters_change(run):
    before = naming.state_dict(run.before)
    after = naming.state_dict(run.after)
    changed = {name for name in after if (np.asarray(after[name]) != before[name]).any()}
    assert changed == set(run.theirs["changed_params"].tolist())


def test_every_change(run):
    before = naming.state_dict(run.before)
    after = naming.state_dict(run.after)
    compared = 0
    for name in run.theirs["changed_params"].tolist():
        # Softmax ignores a bias of the keys: its exact gradient is zero, and Adam turns the
        # rounding noise that is left into steps.
        if name.endswith("k_proj.bias"):
            continue
        ours = (np.asarray(after[name], np.float64) - before[name]).ravel()
        theirs = run.theirs[f"delta/{name}"].astype(np.float64).ravel()
        cosine = ours @ theirs / (np.linalg.norm(ours) * np.linalg.norm(theirs))
        assert cosine > 0.9999, f"{name}: cosine {cosine}"
        assert np.linalg.norm(ours) == pytest.approx(np.linalg.norm(theirs), rel=1e-2), name
        compared += 1
    assert compared >= len(run.theirs["changed_params"]) - 7


def test_the_published_points_lie_in_our_errors(run):
    """Our predictions are the published ones: its clicks fall where ours are wrong."""
    truth = np.asarray(run.forward.truth)
    for i in range(1, 9):
        if run.theirs[f"{i}/mask_only"]:
            continue
        predicted = np.asarray(run.predictions[i - 1].predicted)
        error = predicted != truth
        points = np.asarray(run.forward.by_object(run.theirs[f"{i}/point_coords"])).astype(int)
        labels = np.asarray(run.forward.by_object(run.theirs[f"{i}/point_labels"]))
        for (b, k, p), label in np.ndenumerate(labels):
            x, y = points[b, k, p]
            assert error[b, k, y, x]
            assert truth[b, k, y, x] == label


def test_optimizer_counts_are_those_of_the_updated_groups(run):
    box_first = bool(run.first_prompts.has_box.all())
    counts = {name: int(state.count) for name, state in run.learned.optimizer.items()}
    expected = {"adapter": 1, "no_mask": 1, "masks": 0, "decoder": 9}
    expected |= {"boxes": int(box_first), "points": int(not box_first)}
    assert counts == expected


def test_flat_names_are_unique(run):
    flat = traverse_util.flatten_dict(run.before, sep="/")
    assert len(flat) == sum(
        len(group) for group in groups.split(run.task.model, run.before).values()
    )
