"""The plan of a comparison: methods, seeds, evaluation settings, and contents of the tables."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from samjax.comparison import choice
from samjax.data.inputs import Resize
from samjax.evaluation import protocols
from samjax.training.config import Experiment


@dataclasses.dataclass(frozen=True)
class EvalSetting:
    """One way of evaluating a trained model.

    Attributes:
        adapters: Whether its adapters are used (not in the paper's `SAM-Med2D*`).
        image_size: Side of the input to resize the network to, pixels; None keeps its own.
        resize: Method of resizing, see `samjax.data.inputs.Preprocessing`; None
            uses the one of training.
        splits: The splits of the data to evaluate.
        datasets: The datasets to evaluate; empty for all.
        protocols: Its protocols; empty for those of the comparison.
    """

    adapters: bool = True
    image_size: int | None = None
    resize: Resize | None = None
    splits: tuple[str, ...] = ("test",)
    datasets: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class TrainingStage:
    """One training of a model, which starts from the result of the stage before it.

    Attributes:
        name: Name of its folder.
        experiment: Its settings, with its own data.
    """

    name: str
    experiment: Experiment


@dataclasses.dataclass(frozen=True)
class Method:
    """One way of training a model, and the settings in which it is evaluated.

    Attributes:
        title: Title in tables.
        stages: Stages of its training on the comparison's data; empty for the general model itself.
        from_general: Whether training starts from the general model, or from fresh parameters.
        settings: The settings of its evaluations, by name.
        grid: In place of `stages`, variants of one stage, each with a validation at its end: all
            are trained with the first seed, and the one with the best validation score is the
            method, with every seed (`samjax.comparison.choice`).

    Raises:
        ValueError: It has stages and a grid.
    """

    title: str
    stages: tuple[TrainingStage, ...] = ()
    from_general: bool = True
    settings: Mapping[str, EvalSetting] = dataclasses.field(
        default_factory=lambda: {"test": EvalSetting()}
    )
    grid: tuple[TrainingStage, ...] = ()

    def __post_init__(self) -> None:
        if self.stages and self.grid:
            raise ValueError(f"{self.title}: expected stages or a grid, found both")

    @property
    def is_trained(self) -> bool:
        """Whether it trains a model, and does not evaluate the general one."""
        return bool(self.stages or self.grid)


@dataclasses.dataclass(frozen=True)
class Ablation:
    """One of our design choices compared with an alternative, all else equal.

    Attributes:
        question: Subject of the choice.
        ours: Our default.
        other: The alternative.
        method: Name of the method that has the alternative.
        base: Name of the method that has our default.
    """

    question: str
    ours: str
    other: str
    method: str
    base: str


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Methods, the seeds and data that they share, and the tables of the results page.

    Attributes:
        data: The data folder for training and evaluation.
        methods: Methods by name, which is also the name of a folder.
        seeds: Seeds; each method is trained once with each. A seed sets the fresh parameters, the
            simulated clicks, and the order of the data, which is the same for all methods.
        general: Checkpoint of the general model; empty to train it by `stages`.
        stages: Stages of training the general model, if there is no checkpoint.
        general_data: The data folder to evaluate the general model on images of its own kind.
        protocols: The protocols of evaluations, see `samjax.evaluation.protocols`.
        overall: Rows of the paper's table 2: title, method, setting.
        by_modality: Columns of the paper's table 3: title, method, setting.
        unseen: Columns of the paper's table 4: title, method, setting.
        ablations: Rows of the table of ablations.
        side_by_side: Rows of the tables that compare methods with different prompts: title, method,
            setting (`samjax.comparison.method_tables`).
    """

    data: str
    methods: Mapping[str, Method]
    seeds: tuple[int, ...] = (0, 1, 2)
    general: str = ""
    stages: tuple[TrainingStage, ...] = ()
    general_data: str = ""
    protocols: tuple[str, ...] = protocols.DEFAULT
    overall: tuple[tuple[str, str, str], ...] = ()
    by_modality: tuple[tuple[str, str, str], ...] = ()
    unseen: tuple[tuple[str, str, str], ...] = ()
    ablations: tuple[Ablation, ...] = ()
    side_by_side: tuple[tuple[str, str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.general and not self.stages:
            raise ValueError("comparison: expected a general model or stages that make one")
        cells = (*self.overall, *self.by_modality, *self.unseen, *self.side_by_side)
        named = [(method, setting) for _, method, setting in cells]
        named += [(name, "test") for a in self.ablations for name in (a.method, a.base)]
        for method, setting in named:
            if method not in self.methods or setting not in self.methods[method].settings:
                raise ValueError(
                    f"comparison: a table shows {method!r}, {setting!r}, which is not run"
                )


@dataclasses.dataclass(frozen=True)
class Job:
    """One model to train and evaluate: a method with a seed.

    Attributes:
        name: Name of the method.
        method: The method.
        seed: The seed.
    """

    name: str
    method: Method
    seed: int

    def folder(self, workdir: Path) -> Path:
        """Returns the folder of its training and its reports."""
        return workdir / self.name / f"seed_{self.seed}"

    def report(self, workdir: Path, setting: str) -> Path:
        """Returns the folder of the report of one setting."""
        return self.folder(workdir) / "tests" / setting

    def stages(self, workdir: Path) -> tuple[TrainingStage, ...]:
        """Returns the stages of its training: of a grid the chosen one, none before the choice."""
        if not self.method.grid:
            return self.method.stages
        chosen = choice.read(workdir / self.name)
        return tuple(one for one in self.method.grid if chosen and one.name == chosen.name)

    def checkpoint(self, comparison: "Comparison", workdir: Path) -> str:
        """Returns the path of the trained model, or of the general model for no training."""
        if not self.method.is_trained:
            return general_checkpoint(comparison, workdir)
        return str(self.folder(workdir) / self.stages(workdir)[-1].name / "last")

    def missing(self, workdir: Path) -> list[str]:
        """Lists the settings that have no report yet."""
        names = self.method.settings
        return [n for n in names if not (self.report(workdir, n) / "report.json").exists()]


def general_checkpoint(comparison: Comparison, workdir: Path) -> str:
    """Returns the path of the general model, from a checkpoint or trained here."""
    return comparison.general or str(workdir / "general" / comparison.stages[-1].name / "last")


def general_report(workdir: Path) -> Path:
    """Returns the folder of the general model's report on images of its own kind."""
    return workdir / "general" / "test"


def jobs(comparison: Comparison) -> list[Job]:
    """Lists all jobs of a comparison; methods without training have one seed.

    The order is seed by seed, so that a comparison stopped early has one seed of every method.
    """
    return [
        Job(name, method, seed)
        for seed in comparison.seeds
        for name, method in comparison.methods.items()
        if method.is_trained or seed == comparison.seeds[0]
    ]
