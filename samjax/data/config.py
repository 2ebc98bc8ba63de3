"""Settings of the training data."""

import dataclasses
from typing import Annotated, Literal

from samjax import fields
from samjax.data.augment import AugmentConfig


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The images of a training run, and the way batches are made of them.

    Attributes:
        root: The data folder (see docs/data.md).
        batch_size: Images per optimisation step, over all processes together.
        masks_per_image: Masks drawn for each image of a batch.
        mask_sampling: `distinct` (the paper: without replacement, repeated only where an image
            has too few masks) or `replacement` (the published code).
        augment: Augmentation of the images.
        balance: `none` (every image equally often), `dataset` (every dataset equally often) or
            `mask` (an image as often as it takes to draw all of its masks).
        check: `all` reads every file once before the first step; `none` leaves it out.
        on_bad: `skip` leaves bad files out and says so, `error` stops the run.
        validation_fraction: Share of the training split's subjects held out for validation;
            0 for none.
        classes: Semantic head: names of the classes to learn, in the order of their labels;
            everything else is background. Empty: all classes of the training images, by name.
        leave_out: Datasets to leave out, to evaluate the model on kinds of data that it has never
            seen (paper, table 4).
        images: Number of training images to use, those held out for validation among them: one of
            each subject in random order, then a second one, and so on; 0 for all.
        cache_embeddings: Semantic head on a frozen encoder, without augmentation: whether the
            embeddings of all training images are computed once, kept on disk, and read from there.
        cache_dir: Folder of the embeddings, which runs with the same encoder, preprocessing and
            images share; empty: WORKDIR/embeddings.
        seed: Seed of the order, the drawn masks, the augmentation and the hold-out.
        threads: Threads that read and prepare images, per process.
        prefetch: Batches prepared ahead, per process.

    Raises:
        ValueError: A field has a value that cannot work.
    """

    root: str
    batch_size: fields.PositiveInt = 8
    masks_per_image: fields.PositiveInt = 5
    mask_sampling: Literal["distinct", "replacement"] = "distinct"
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    balance: Literal["none", "dataset", "mask"] = "none"
    check: Literal["all", "none"] = "all"
    on_bad: Literal["skip", "error"] = "skip"
    validation_fraction: Annotated[float, fields.Range(0, 1, below=True)] = 0.0
    classes: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    images: Annotated[int, fields.Range(0)] = 0
    cache_embeddings: bool = False
    cache_dir: str = ""
    seed: fields.Seed = 0
    threads: fields.PositiveInt = 4
    prefetch: fields.PositiveInt = 4

    def __post_init__(self) -> None:
        fields.check(self)
