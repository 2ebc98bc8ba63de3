"""Pictures of class maps: the truth and the prediction of whole images, over a legend."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from samjax import visualization
from samjax.data.classes import SemanticClass, label_map, numbers
from samjax.data.files import read_image
from samjax.data.index import Sample
from samjax.evaluation import batches, class_report, evaluator, metrics, semantic
from samjax.evaluation.results import Evaluation
from samjax.models.directory import Model


def overlays(
    model: Model, root: str | os.PathLike[str], evaluation: Evaluation, side: int, count: int = 3
) -> dict[str, np.ndarray]:
    """Draws the `best`, `median` and `worst` images by mean Dice over the classes of each.

    Args:
        model: The semantic model that was evaluated.
        root: The data folder.
        evaluation: The evaluation.
        side: Longer side of a panel, pixels.
        count: Images in a picture.

    Returns:
        RGB pictures by name.
    """
    dice = class_report.dice_of_images(evaluation)
    return {
        name: visualization.add_label(
            picture(model, root, evaluation, part, side), f"{name}: truth, prediction"
        )
        for name, part in metrics.best_median_worst(dice, dice.__getitem__, count).items()
    }


def picture(
    model: Model,
    root: str | os.PathLike[str],
    evaluation: Evaluation,
    images: Sequence[str],
    side: int,
) -> np.ndarray:
    """Draws images of an evaluation side by side with truth and predicted classes; RGB.

    Args:
        model: The semantic model that was evaluated.
        root: The data folder.
        evaluation: The evaluation.
        images: Paths of the images to draw.
        side: Longer side of a panel, pixels.
    """
    model = evaluator.on_device(model)
    config, number = evaluation.config, numbers(model.classes)
    dice = class_report.dice_of_images(evaluation)
    named = {result.mask: result.metadata.class_name for result in evaluation.results}
    masks = {image: [r.mask for r in evaluation.results if r.image == image] for image in images}
    samples = [Sample(image, tuple(masks[image])) for image in images]
    loaded = evaluator.load_images(model, root, samples, config, evaluation.prompts)
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for batch in batches.pack(loaded, config.images_per_batch, config.batch_size):
        predictions = semantic.predict(model, batch, config)
        maps = semantic.class_maps(model, batch, predictions)
        for image, class_map in zip(batch.sources, maps, strict=True):
            labels = [number[named[path]] for path in image.sample.masks]
            truth, _ = label_map(image.loaded.original_masks, labels)
            found[image.sample.image] = truth, class_map
    rows = []
    for path in images:
        pixels, order = read_image(Path(root) / path)
        plain = visualization.resize_longest_side(visualization.to_uint8_rgb(pixels, order), side)
        rows.append(_panels(plain, *found[path], model.classes, f"{Path(path).name}", dice[path]))
    return visualization.grid(rows)


def _panels(
    plain: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    classes: Sequence[SemanticClass],
    name: str,
    dice: float,
) -> list[np.ndarray]:
    """Returns the truth over an image, and the prediction, each over its own legend."""
    colors = [each.color for each in classes]
    panels = []
    for title, labels in ((name, truth), (f"prediction  {dice:.3f}", predicted)):
        panel = visualization.draw_classes(plain, labels, colors)
        shown = [each for i, each in enumerate(classes, 1) if (labels == i).any()]
        legend = visualization.legend([(e.name, e.color) for e in shown], panel.shape[1])
        panels.append(visualization.add_label(np.concatenate([panel, legend]), title))
    return panels
