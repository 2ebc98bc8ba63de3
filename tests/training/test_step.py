import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from samjax import prompting
from samjax.models import PeftConfig, groups
from samjax.tasks import TrainableConfig
from samjax.training import step


def run(train_step, config, params, batch, *boxes):
    """States before and after each of the batches, of which some start with boxes."""
    states = [step.init_state(config, params, toy.key(*boxes, task=config.task))]
    metrics = []
    for _ in boxes:
        state, told = train_step(config, states[-1], batch)
        states.append(state)
        metrics.append(told)
    return states, metrics


@pytest.fixture(scope="module")
def ours(train_step, params, batch):
    return run(train_step, toy.STEP, params, batch, True, False, True)


@pytest.fixture(scope="module")
def first_only(train_step, params, batch):
    return run(train_step, toy.FIRST_ONLY, params, batch, False, True)


def identical(one, other) -> bool:
    one, other = jax.device_get((one, other))
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, one, other)))


def changed(before, after, name, model=toy.MODEL):
    """Returns the parameters of a group that differ."""
    was, now = (groups.split(model, state.params)[name] for state in (before, after))
    return {path for path in was if not identical(was[path], now[path])}


def untouched(before, after, name):
    """Value, moments and count of a group, bit for bit."""
    return identical(before.optimizer[name], after.optimizer[name]) and not changed(
        before, after, name
    )


def count(state, name):
    return int(state.optimizer[name].count)


def test_what_is_frozen_never_changes(ours):
    states, _ = ours
    assert not changed(states[0], states[-1], "encoder")
    assert not changed(states[0], states[-1], "constant")
    assert set(states[0].optimizer).isdisjoint({"encoder", "constant"})


def test_all_that_learns_changes(ours):
    states, _ = ours
    everything = groups.split(toy.MODEL, states[0].params)
    for name in toy.TASK.first_groups:
        still = everything[name].keys() - changed(states[0], states[-1], name)
        # A candidate that is never selected does not learn; mask 0 is none with multimask.
        assert all("output_hypernetworks_mlps" in path for path in still), (name, still)


@pytest.mark.heavy
def test_the_decoder_alone_learns_in_ft_sam(train_step, params, batch):
    states, _ = run(train_step, toy.FT_SAM, params, batch, True)
    assert set(states[0].optimizer) == {"decoder"}
    for name in groups.split(toy.MODEL, params):
        assert bool(changed(states[0], states[1], name)) == (name == "decoder"), name
    assert count(states[1], "decoder") == toy.PROMPTING.iterations


@pytest.mark.heavy
def test_lora_learns_and_the_weights_that_it_updates_do_not(train_step, batch):
    model = dataclasses.replace(toy.MODEL, peft=PeftConfig("lora"))
    states, _ = run(train_step, toy.variant(model=model), toy.params(model), batch, True)
    updates = groups.split(model, states[0].params)["adapter"]
    assert changed(*states, "adapter", model) == updates.keys()
    assert not changed(*states, "encoder", model)


@pytest.mark.heavy
def test_a_frozen_iou_head_does_not_decay(train_step, params, batch):
    config = toy.variant(trainable=TrainableConfig(iou_head=False))
    decay = dataclasses.replace(config.optim, weight_decay=0.1, decayed="all")
    states, _ = run(train_step, dataclasses.replace(config, optim=decay), params, batch, True)
    moved = changed(*states, "decoder")
    head = {
        path for path in groups.split(toy.MODEL, params)["decoder"] if "iou_prediction_head" in path
    }
    assert head and not head & moved
    assert moved == groups.split(toy.MODEL, params)["decoder"].keys() - head


def test_counts(ours):
    states, _ = ours
    n = toy.PROMPTING.iterations
    counts = {name: count(states[-1], name) for name in states[-1].optimizer}
    assert counts == {
        "adapter": 3,
        "no_mask": 3,
        "boxes": 2,  # Two batches started with boxes.
        "points": 3 + 1,  # Iteration 1 of each batch, and the one batch that started with points.
        "masks": 3 * (n - 1),
        "decoder": 3 * n,
    }
    assert int(states[-1].step) == 3


@pytest.mark.heavy
def test_counts_with_the_prompt_encoder_in_the_first_update_only(first_only):
    states, _ = first_only
    counts = {name: count(states[-1], name) for name in states[-1].optimizer}
    n = toy.PROMPTING.iterations
    expected = {"adapter": 2, "no_mask": 2, "boxes": 1, "points": 1, "masks": 0, "decoder": 2 * n}
    assert counts == expected


@pytest.mark.heavy
def test_a_group_that_does_not_take_part_keeps_value_moments_and_count(first_only, ours):
    start, after_points, after_boxes = first_only[0]
    assert untouched(start, after_points, "boxes")
    assert not untouched(start, after_points, "points")
    # Now the points have momentum; in a batch without them it must not move them.
    moments = after_points.optimizer["points"].mu
    assert all(
        (m != 0).any() for m in jax.tree.leaves(moments["prompt_encoder/point_embeddings_1"])
    )
    assert untouched(after_points, after_boxes, "points")
    assert not untouched(after_points, after_boxes, "boxes")
    assert untouched(start, after_boxes, "masks")
    states = ours[0]
    assert untouched(states[1], states[2], "boxes")  # The second batch started with points.


def test_every_course_of_prompting_shares_one_compilation(ours, train_step, batch):
    """Box or point first, one point or three, the mask alone early or late."""
    before = train_step._cache_size()
    state = ours[0][0]
    seen = set()
    for number in range(16):
        plan_key, _ = jax.random.split(jax.random.fold_in(state.key, state.step))
        plan = prompting.plan(plan_key, toy.PROMPTING)
        seen.add((bool(plan.starts_with_box), int(plan.point_counts[1])))
        seeds = dataclasses.replace(batch, seed=batch.seed + number)
        state, _ = train_step(toy.STEP, state, seeds)
    assert len(seen) == 4  # All that there is.
    assert train_step._cache_size() == before


def test_metrics_have_a_row_for_every_iteration(ours):
    for metrics in ours[1]:
        assert all(leaf.shape == (toy.PROMPTING.iterations,) for leaf in jax.tree.leaves(metrics))
        assert metrics.finite.all()
        config, terms = toy.TASK.loss, metrics.terms
        weighted = config.focal_weight * terms["focal"] + config.dice_weight * terms["dice_loss"]
        np.testing.assert_allclose(metrics.loss, weighted + terms["iou_error"], rtol=1e-5)
        assert ((terms["dice"] >= 0) & (terms["dice"] <= 1)).all()


def test_the_loss_falls_on_one_batch(ours, train_step, batch):
    state = ours[0][-1]
    losses = [np.mean(metrics.loss) for metrics in ours[1]]
    for _ in range(15):
        state, metrics = train_step(toy.STEP, state, batch)
        losses.append(np.mean(metrics.loss))
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])


def test_a_step_depends_on_nothing_but_its_state(ours, train_step, batch):
    again, told = train_step(toy.STEP, ours[0][1], batch)
    assert identical(again.params, ours[0][2].params)
    assert identical(told, ours[1][1])


def test_prompts_follow_the_step_and_the_key(ours, train_step, batch):
    state = ours[0][0]
    first = ours[1][0]
    later = train_step(toy.STEP, state.replace(step=jnp.asarray(7, jnp.int32)), batch)[1]
    other = train_step(toy.STEP, state.replace(key=jax.random.key(12345)), batch)[1]
    assert later.loss[1] != first.loss[1]
    assert other.loss[1] != first.loss[1]


def test_the_place_in_a_batch_does_not_matter(ours, train_step, batch):
    turned = jax.tree.map(lambda x: x[::-1], batch)
    state, metrics = train_step(toy.STEP, ours[0][0], turned)
    np.testing.assert_allclose(metrics.loss, ours[1][0].loss, rtol=1e-4)
    assert int(state.step) == 1


@pytest.mark.parametrize("part", ["image", "params"])
def test_non_finite_values_are_reported(ours, train_step, batch, part):
    state = ours[0][0]
    if part == "image":
        batch = batch.replace(image=np.full_like(batch.image, np.nan))
    else:
        spoilt = jax.tree.map(lambda x: x, state.params)
        spoilt["mask_decoder"]["iou_token"] = spoilt["mask_decoder"]["iou_token"] * np.nan
        state = state.replace(params=spoilt)
    metrics = train_step(toy.STEP, state, batch)[1]
    assert not metrics.finite.any()
