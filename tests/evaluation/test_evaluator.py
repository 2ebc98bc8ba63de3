import dataclasses
import functools
import types as python_types
from concurrent.futures import Future

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from samjax import models, types
from samjax import prompting as annotator
from samjax.data.boxes import tight_box
from samjax.data.files import DataError
from samjax.data.index import Sample
from samjax.data.pipeline import load_for_evaluation
from samjax.evaluation import (
    EvalConfig,
    batches,
    evaluate,
    evaluator,
    prompt_file,
    protocols,
    report,
)
from samjax.inference.batch import encode
from samjax.prompting import keys as prompt_keys

CONFIG = EvalConfig(batch_size=4, images_per_batch=2, select=("score", "oracle"), threads=2)
PIXELS = 2e-3  # Dice may differ by a pixel or two where a logit is zero up to rounding.


@pytest.fixture(scope="module")
def evaluation(tiny, folder):
    return evaluate(tiny, *folder, CONFIG, progress=False)


def scores_of(evaluation):
    return {result.mask: result.scores for result in evaluation.results}


def assert_close(evaluation, expected, tolerance=PIXELS):
    """Checks that both have the same scores, for every mask and protocol of the first."""
    expected = scores_of(expected)
    for mask, scores in scores_of(evaluation).items():
        for name, score in scores.items():
            assert score.dice == pytest.approx(expected[mask][name].dice, abs=tolerance), mask
            assert score.iou == pytest.approx(expected[mask][name].iou, abs=tolerance), mask


def test_every_mask_is_evaluated_by_every_protocol(evaluation, folder):
    _, samples = folder
    assert [r.mask for r in evaluation.results] == [m for s in samples for m in s.masks]
    for result in evaluation.results:
        assert list(result.scores) == ["bbox", "1pt", "3pt", "5pt", "filled_box"]
        assert all(0 <= score.dice <= 1 for score in result.scores.values())
    assert set(evaluation.prompts.prompts) == {r.mask for r in evaluation.results}
    assert set(evaluation.fps) == {"bbox", "points"}
    distinct = {round(r.scores[name].dice, 6) for r in evaluation.results for name in r.scores}
    assert len(distinct) > 40  # Different prompts give different predictions.


def restored(low: np.ndarray, at, size: int) -> np.ndarray:
    """Low-resolution logits at original size, by OpenCV."""
    full = cv2.resize(low, (size, size), interpolation=cv2.INTER_LINEAR)
    inner = full[at.top : at.top + at.inner_height, at.left : at.left + at.inner_width]
    return cv2.resize(inner, (at.width, at.height), interpolation=cv2.INTER_LINEAR)


def dice_of(mask: np.ndarray, truth: np.ndarray) -> float:
    return 2 * np.sum(mask & truth) / (mask.sum() + truth.sum())


def one_mask_at_a_time(model, root, sample, prompts, rounds):
    """The protocols for one image without batches, padding or compiled loops."""
    config, params = model.config, jax.device_put(model.params)
    size = config.image_size
    loaded = load_for_evaluation(sample, root, model.preprocessing, size)
    at = loaded.placement
    predict = jax.jit(lambda prompts: models.predict_masks(config, params, embedding, prompts))
    embedding = jax.jit(functools.partial(models.encode_image, config))(params, loaded.image[None])
    empty = types.no_prompts(1, 1, rounds, config.mask_size)
    for i, path in enumerate(sample.masks):
        truth = loaded.original_masks[i] > 0
        box, point = prompts.prompts[path].in_input(at)
        np.testing.assert_array_equal(box, tight_box(loaded.masks[i]))
        current = dataclasses.replace(empty, boxes=box[None, None], has_box=np.ones((1, 1), bool))
        dice_by_name = {}
        key = jax.random.key(prompts.prompts[path].click_seed)[None, None]
        points, labels = [point], [1]
        for number in range(rounds + 1):
            logits, iou = predict(current)
            low = np.asarray(logits[0, 0, int(iou[0, 0].argmax())])
            candidates = [restored(np.asarray(one), at, size) > 0 for one in logits[0, 0]]
            name = f"{number}pt" if number else "bbox"
            chosen = restored(low, at, size) > 0
            dice_by_name[name] = (
                dice_of(chosen, truth),
                max(dice_of(one, truth) for one in candidates),
            )
            if number:
                probability = 1 / (1 + np.exp(-low))
                predicted = cv2.resize(low, (size, size), interpolation=cv2.INTER_LINEAR) > 0
                new, label = annotator.correction_points(
                    prompt_keys.fold_in(key, number + 1),
                    jnp.asarray(predicted[None, None]),
                    jnp.asarray(loaded.masks[i][None, None]),
                    1,
                )
                points.append(np.asarray(new)[0, 0, 0])
                labels.append(int(label[0, 0, 0]))
                current = dataclasses.replace(
                    empty, mask=probability[None, None], has_mask=np.ones((1, 1), bool)
                )
            if number < rounds:
                all_points = empty.points.at[0, 0, : number + 1].set(np.array(points))
                all_labels = empty.labels.at[0, 0, : number + 1].set(np.array(labels))
                current = dataclasses.replace(
                    current, points=all_points, labels=all_labels, has_box=np.zeros((1, 1), bool)
                )
        yield path, dice_by_name


def test_scores_are_those_of_a_slow_loop_over_single_masks(tiny, folder, evaluation):
    root, samples = folder
    fast = scores_of(evaluation)
    for sample in (samples[0], samples[3]):
        for path, slow in one_mask_at_a_time(tiny, root, sample, evaluation.prompts, 5):
            for name in CONFIG.protocols:
                dice, oracle = slow[name]
                assert fast[path][name].dice == pytest.approx(dice, abs=PIXELS), (path, name)
                values = fast[path][name].values
                assert values["dice_oracle"] == pytest.approx(oracle, abs=PIXELS)
                assert values["oracle_gap"] == values["dice_oracle"] - values["dice"] >= 0
                assert values["chosen_best"] == (values["oracle_gap"] == 0)


def test_filled_box_is_the_box_taken_as_mask(evaluation, folder):
    root, samples = folder
    for sample in samples:
        for path in sample.masks:
            truth = cv2.imread(str(root / path), cv2.IMREAD_UNCHANGED) > 0
            x0, y0, x1, y1 = evaluation.prompts.prompts[path].box
            rows, columns = np.indices(truth.shape) + 0.5
            filled = (rows >= y0) & (rows < y1) & (columns >= x0) & (columns < x1)
            score = scores_of(evaluation)[path]["filled_box"]
            assert score.dice == pytest.approx(dice_of(filled, truth))


def test_padding_and_other_masks_of_a_batch_change_no_number(tiny, folder, evaluation):
    """In batches of one shape, a mask's scores do not depend on the others, bit for bit."""
    root, samples = folder
    together = scores_of(evaluation)
    for subset in (samples[2:], samples[::-1], [Sample(samples[1].image, samples[1].masks[1:])]):
        alone = scores_of(evaluate(tiny, root, subset, CONFIG, progress=False))
        assert alone == {mask: together[mask] for mask in alone}


@pytest.mark.parametrize(("masks", "images"), [pytest.param(1, 1, marks=pytest.mark.heavy), (7, 3)])
def test_batch_size_changes_no_number(tiny, folder, evaluation, masks, images):
    config = dataclasses.replace(CONFIG, batch_size=masks, images_per_batch=images)
    assert_close(evaluate(tiny, *folder, config, progress=False), evaluation)


def test_replayed_prompts_give_the_same_numbers(tiny, folder, evaluation, tmp_path):
    prompt_file.save(tmp_path / "prompts.json", evaluation.prompts)
    replayed = prompt_file.load(tmp_path / "prompts.json")
    config = dataclasses.replace(CONFIG, seed=99)
    again = evaluate(tiny, *folder, config, replayed, progress=False)
    assert again.results == evaluation.results
    assert again.prompts == evaluation.prompts


def test_another_seed_gives_other_points_but_the_same_boxes(tiny, folder, evaluation):
    other = evaluate(tiny, *folder, dataclasses.replace(CONFIG, seed=1), progress=False)
    for mask, prompt in evaluation.prompts.prompts.items():
        assert other.prompts.prompts[mask].box == prompt.box
        assert other.prompts.prompts[mask].click_seed != prompt.click_seed
    for mask, scores in scores_of(evaluation).items():
        assert scores_of(other)[mask]["bbox"] == scores["bbox"]


@pytest.mark.heavy
def test_prompts_replay_on_a_model_of_another_input_size(tiny_128, folder, evaluation):
    other = evaluate(tiny_128, *folder, CONFIG, evaluation.prompts, progress=False)
    assert other.prompts == evaluation.prompts
    assert other.image_size == 128
    for mask, scores in scores_of(evaluation).items():
        assert scores_of(other)[mask]["filled_box"] == scores["filled_box"]


@pytest.mark.heavy
def test_fewer_points_are_the_beginning_of_more(tiny, folder, evaluation):
    config = dataclasses.replace(CONFIG, protocols=("3pt", "1pt"))
    alone = evaluate(tiny, *folder, config, progress=False)
    assert list(alone.results[0].scores) == ["3pt", "1pt", "filled_box"]
    assert_close(alone, evaluation)


def test_dropped_adapters_equal_adapters_of_zeros(tiny, folder, evaluation):
    dropped = dataclasses.replace(CONFIG, adapters=False)
    without = evaluate(tiny, *folder, dropped, progress=False)
    assert scores_of(without) != scores_of(evaluation)

    def silenced(path, leaf):
        return leaf * 0 if any(key.key == "adapter" for key in path) else leaf

    params = jax.tree_util.tree_map_with_path(silenced, tiny.params)
    silent = evaluate(dataclasses.replace(tiny, params=params), *folder, CONFIG, progress=False)
    assert_close(silent, without)


def test_other_parameters_compile_nothing(tiny, folder, evaluation):
    compiled = (encode, protocols.predict_prompts, protocols.predict_points)
    before = [function._cache_size() for function in compiled]
    params = jax.tree.map(lambda leaf: 1.01 * leaf, tiny.params)
    other = evaluate(dataclasses.replace(tiny, params=params), *folder, CONFIG, progress=False)
    assert other.results != evaluation.results
    assert [function._cache_size() for function in compiled] == before


def test_limit_spreads_images_evenly(tiny, folder):
    config = dataclasses.replace(CONFIG, limit=3)
    evaluated = evaluate(tiny, *folder, config, progress=False)
    images = list(dict.fromkeys(result.image for result in evaluated.results))
    assert images == [folder[1][i].image for i in (0, 2, 4)]


@pytest.fixture
def with_bad_files(folder, tmp_path):
    """One good mask, an empty one, one that vanishes at 64 x 64, one of another shape."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "images/a.png"), np.full((200, 200), 90, np.uint8))
    good, speck = np.zeros((2, 200, 200), np.uint8)
    good[50:100, 50:120] = 255
    speck[1, 1] = 255
    masks = {"good": good, "empty": good * 0, "speck": speck, "shape": good[:100]}
    for name, mask in masks.items():
        cv2.imwrite(str(tmp_path / f"masks/{name}.png"), mask)
    return tmp_path, Sample("images/a.png", tuple(f"masks/{name}.png" for name in masks))


def test_empty_masks_are_skipped_counted_and_saved_with_the_prompts(tiny, with_bad_files):
    root, sample = with_bad_files
    without_bad = dataclasses.replace(sample, masks=sample.masks[:3])
    evaluated = evaluate(tiny, root, [without_bad], CONFIG, progress=False)
    assert [result.mask for result in evaluated.results] == ["masks/good.png"]
    assert evaluated.prompts.skipped == {
        "masks/empty.png": "empty",
        "masks/speck.png": "nothing left of it at 64 x 64",
    }
    again = evaluate(tiny, root, [without_bad], CONFIG, evaluated.prompts, progress=False)
    assert again.results == evaluated.results
    assert again.prompts == evaluated.prompts


def test_bad_files_are_named_and_skipped_or_fatal(tiny, with_bad_files):
    root, sample = with_bad_files
    with pytest.raises(DataError, match=r"shape\.png: expected a mask of the image's shape"):
        evaluate(tiny, root, [sample], CONFIG, progress=False)
    with pytest.raises(DataError, match=r"shape\.png"):
        evaluator.check_samples(tiny, root, [sample], CONFIG, "error")
    samples, bad, _ = evaluator.check_samples(tiny, root, [sample], CONFIG, "skip")
    assert list(bad) == ["masks/shape.png"]
    assert len(evaluate(tiny, root, samples, CONFIG, progress=False).results) == 1


def test_nothing_to_evaluate_is_an_error(tiny, with_bad_files):
    root, sample = with_bad_files
    empty = dataclasses.replace(sample, masks=sample.masks[1:2])
    with pytest.raises(DataError, match="none of the masks in 1 images can be evaluated"):
        evaluate(tiny, root, [empty], CONFIG, progress=False)


def test_prompts_that_lack_a_mask_are_an_error(tiny, folder, evaluation):
    root, samples = folder
    prompts = dict(evaluation.prompts.prompts)
    del prompts[samples[1].masks[0]]
    lacking = dataclasses.replace(evaluation.prompts, prompts=prompts)
    with pytest.raises(DataError, match="have none for this mask") as raised:
        evaluate(tiny, root, samples, CONFIG, lacking, progress=False)
    assert samples[1].masks[0] in str(raised.value)


@pytest.mark.parametrize(
    ("path", "array"),
    [
        ("images/a.png", np.full((100, 150), 90, np.uint8)),
        ("images/a.png", np.full((200, 200), 91, np.uint8)),
        ("masks/good.png", np.full((200, 200), 255, np.uint8)),
    ],
)
def test_prompts_of_other_files_are_an_error(tiny, with_bad_files, path, array):
    """Another size, another picture of the same size, another mask."""
    root, sample = with_bad_files
    sample = dataclasses.replace(sample, masks=sample.masks[:1])
    evaluated = evaluate(tiny, root, [sample], CONFIG, progress=False)
    if path == "images/a.png" and array.shape != (200, 200):
        cv2.imwrite(str(root / sample.masks[0]), np.full(array.shape, 255, np.uint8))
    cv2.imwrite(str(root / path), array)
    with pytest.raises(DataError, match=r"expected what the prompts .* found another") as raised:
        evaluate(tiny, root, [sample], CONFIG, evaluated.prompts, progress=False)
    assert f"{array.shape[1]} x {array.shape[0]}" in str(raised.value)
    with pytest.raises(DataError, match="expected what the prompts"):
        evaluator.check_samples(tiny, root, [sample], CONFIG, "skip", evaluated.prompts)
    if array.shape == (200, 200):  # Prompts of an earlier version do not say what they are for.
        old = dataclasses.replace(evaluated.prompts, contents={})
        assert evaluate(tiny, root, [sample], CONFIG, old, progress=False).results


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"box": (500.0, 500.0, 600.0, 600.0)}, r"good\.png: .* do not fit: box: .* width 200"),
        (
            {"box": (100.0, 90.0, 201.0, 150.0)},
            r"good\.png: .* box: .* reaches out of .* width 200",
        ),
        ({"point": (900.0, 9.0)}, r"good\.png: .* do not fit: points: .*\(900, 9\)"),
    ],
)
def test_prompts_outside_of_the_image_are_an_error(tiny, with_bad_files, change, message):
    root, sample = with_bad_files
    prompt = prompt_file.MaskPrompt(sample.image, (50.0, 50.0, 90.0, 90.0), (60.0, 60.0), 7)
    outside = {sample.masks[0]: dataclasses.replace(prompt, **change)}
    sample = dataclasses.replace(sample, masks=sample.masks[:1])
    with pytest.raises(DataError, match=message):
        evaluate(tiny, root, [sample], CONFIG, prompt_file.PromptSet(0, outside, {}))


def test_a_model_without_point_prompts_is_evaluated_by_boxes_alone(
    tiny, folder, evaluation, caplog
):
    root, samples = folder
    medsam = dataclasses.replace(tiny.preprocessing, normalise="min_max", multimask=False)
    assert not medsam.supports_points
    assert dataclasses.replace(medsam, point_prompts=True).supports_points
    boxes = dataclasses.replace(tiny.preprocessing, point_prompts=False)
    model = dataclasses.replace(tiny, preprocessing=boxes)
    evaluated = evaluate(model, root, samples, CONFIG, progress=False)
    assert list(evaluated.results[0].scores) == ["bbox", "filled_box"]
    assert evaluated.left_out == ("1pt", "3pt", "5pt")
    assert "left out: 1 pt, 3 pts, 5 pts" in caplog.text
    assert_close(evaluated, evaluation)
    content = report.content_of(evaluated, "m")
    assert "Left out: 1 pt, 3 pts, 5 pts." in report.page(content)
    points = dataclasses.replace(CONFIG, protocols=("1pt", "3pt"))
    with pytest.raises(ValueError, match=r"expected bbox for a model .* found 1pt, 3pt"):
        evaluate(model, root, samples, points, progress=False)


@pytest.mark.parametrize("names", [(), ("box",), ("0pt",), ("3 pts",), ("1pt", "1pt"), ("1000pt",)])
def test_unknown_protocols_are_refused(names):
    with pytest.raises(ValueError, match=r"^protocols: expected "):
        EvalConfig(protocols=names)


@pytest.mark.parametrize("budget", [0, 5, 10**6])
def test_images_are_loaded_ahead_in_order_and_large_ones_not_far(unchecked, monkeypatch, budget):
    """With a budget of nothing, no image is loaded ahead."""
    monkeypatch.setattr(batches, "MAX_WAITING", budget)
    loaded, yielded = [], []

    def load(number):
        loaded.append(number)
        masks = python_types.SimpleNamespace(original_masks=np.zeros(3, np.uint8))
        return python_types.SimpleNamespace(loaded=masks, number=number)

    class Pool:
        """Loads at once, so that the number of waiting images is known."""

        def __init__(self, _):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, function, number):
            future = Future()
            future.set_result(function(number))
            return future

    monkeypatch.setattr(batches, "ThreadPoolExecutor", Pool)
    for image in batches.load_ahead(range(40), load, threads=2):
        yielded.append(image.number)
        assert 3 * (len(loaded) - len(yielded)) <= budget
        assert len(loaded) - len(yielded) <= 8
    assert yielded == list(range(40))


def test_titles_are_those_of_the_paper():
    titles = [protocols.title(name) for name in protocols.DEFAULT]
    assert titles == ["Bbox", "1 pt", "3 pts", "5 pts"]
