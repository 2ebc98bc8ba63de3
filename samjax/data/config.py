"""What a run needs to know about its data."""

import dataclasses

from samjax.data.augment import AugmentConfig

CHOICES = {
    "mask_sampling": ("distinct", "replacement"),
    "balance": ("none", "dataset", "mask"),
    "check": ("all", "none"),
    "on_bad": ("skip", "error"),
}


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The images of a training run, and how batches are made of them.

    Attributes:
        root: The data folder (see docs/data.md).
        batch_size: Images per optimisation step, over all processes together.
        masks_per_image: Masks drawn for each image of a batch.
        mask_sampling: `distinct` (the paper: without replacement, repeated only where an image
            has too few masks) or `replacement` (the published code).
        augment: How the images are varied.
        balance: `none` (every image equally often), `dataset` (every dataset equally often) or
            `mask` (an image as often as it takes to draw all of its masks).
        check: `all` reads every file once before the first step; `none` leaves it out.
        on_bad: `skip` leaves bad files out and says so, `error` stops the run.
        validation_fraction: Share of the training split's subjects held out for validation;
            0 for none.
        leave_out: Datasets to leave out, to test on them what a model makes of data of a kind it
            has never seen (paper, table 4).
        seed: Seed of the order, the drawn masks, the augmentation and the hold-out.
        threads: Threads that read and prepare images, per process.
        prefetch: Batches prepared ahead, per process.

    Raises:
        ValueError: A field has a value that cannot work.
    """

    root: str
    batch_size: int = 8
    masks_per_image: int = 5
    mask_sampling: str = "distinct"
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    balance: str = "none"
    check: str = "all"
    on_bad: str = "skip"
    validation_fraction: float = 0.0
    leave_out: tuple[str, ...] = ()
    seed: int = 0
    threads: int = 4
    prefetch: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "leave_out", tuple(self.leave_out))
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                found = getattr(self, name)
                raise ValueError(f"data.{name}: expected one of {allowed}, found {found!r}")
        for name in ("batch_size", "masks_per_image", "threads", "prefetch"):
            if getattr(self, name) < 1:
                raise ValueError(f"data.{name}: expected at least 1, found {getattr(self, name)}")
        if not 0 <= self.validation_fraction < 1:
            found = self.validation_fraction
            raise ValueError(f"data.validation_fraction: expected 0 to below 1, found {found}")
