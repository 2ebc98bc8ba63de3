"""Projected time of training on GPUs, from calculated operations and stated assumptions."""

import dataclasses
from typing import Any

from benchmarks import flops
from samjax.tasks import InteractiveTask


@dataclasses.dataclass(frozen=True)
class Assumptions:
    """Assumptions of `project`; each is a flag of `benchmarks.scaling`.

    Attributes:
        gpus: Number of GPUs; each holds all parameters.
        images: Number of images on each GPU.
        objects: Number of masks of each image.
        dataset: Number of images in the data set; 4.6 million in the paper.
        epochs: Passes over the data set; 12 in the paper.
        chip_tflops: Peak of one GPU, 1e12 operations a second; default: an A100 in bfloat16.
        share: Share of the peak that the products of a whole step reach. This is a guess; all
            times are proportional to it.
        link_gbytes: Rate from one GPU to the next, 1e9 bytes a second; default: NVLink of A100s.
    """

    gpus: int = 8
    images: int = 50
    objects: int = 5
    dataset: int = 4_600_000
    epochs: int = 12
    chip_tflops: float = 312.0
    share: float = 0.3
    link_gbytes: float = 300.0


def project(
    task: InteractiveTask, assumed: Assumptions, first_bytes: int, later_bytes: int
) -> dict[str, Any]:
    """Projects the time of training on GPUs that each have all parameters.

    Gradients are added in a ring: each of `n` devices sends `2 (n - 1) / n` bytes for every byte.
    Sending the gradients of an update can overlap with its own backward pass only, because the next
    iteration needs the parameters. It is hidden if it takes less time than that pass. The last
    gradients, and those that the compiler sends together with them, are never hidden.

    Args:
        task: Task of the training step.
        assumed: The GPUs, the data set, and their rates.
        first_bytes: Bytes of gradients that the first update adds over the devices.
        later_bytes: The same for every later update.

    Returns:
        Seconds of a step and of its parts, hours, and the rate that the loader has to deliver.
    """
    config, trainable = task.model, (task.first_groups, task.later_groups)
    objects, tokens = assumed.images * assumed.objects, task.prompting.max_points + 3
    speed = assumed.chip_tflops * 1e12 * assumed.share
    encoder = flops.encoder_backward(config, assumed.images, trainable[0])
    shape = (config, assumed.images, objects, tokens)
    decoder = [flops.decoder_backward(*shape, names) for names in trainable]
    first_backward, later_backward = (encoder + decoder[0]) / speed, decoder[1] / speed
    ring = 2 * (assumed.gpus - 1) / assumed.gpus / (assumed.link_gbytes * 1e9)
    first_sending, later_sending = first_bytes * ring, later_bytes * ring
    compute = flops.train_step(task, assumed.images, assumed.objects) / speed
    sending = first_sending + (task.prompting.iterations - 1) * later_sending
    batch = assumed.gpus * assumed.images
    steps = assumed.dataset // batch
    rate = batch / compute
    return {
        "flops_per_image": compute * speed / assumed.images,
        "compute_s": compute,
        "first_backward_s": first_backward,
        "first_communication_s": first_sending,
        "later_backward_s": later_backward,
        "later_communication_s": later_sending,
        "communication_s": sending,
        "first_can_hide": first_sending <= first_backward,
        "later_can_hide": later_sending <= later_backward,
        "efficiency_if_nothing_hides": compute / (compute + sending),
        "steps_per_epoch": steps,
        "hours_per_epoch": steps * compute / 3600,
        "hours": assumed.epochs * steps * compute / 3600,
        "hours_if_nothing_hides": assumed.epochs * steps * (compute + sending) / 3600,
        "loader_images_per_s": rate,
        "loader_masks_per_s": rate * assumed.objects,
        # Float32 images and one byte for each pixel of a mask, as in `interactive.Batch`.
        "loader_bytes_per_s": rate * config.image_size**2 * (3 * 4 + assumed.objects),
    }
