"""The plan of a comparison: its methods and seeds, how each is tested, and what tables show."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from samjax.data.inputs import Resize
from samjax.evaluation import protocols
from samjax.training.config import Experiment


@dataclasses.dataclass(frozen=True)
class EvalSetting:
    """One way of testing a trained model.

    Attributes:
        adapters: Whether its adapters take part (`SAM-Med2D*` of the paper: they do not).
        image_size: Side of the input to resize the network to, pixels; None keeps its own.
        resize: How images are fitted to the input, see `samjax.data.inputs.Preprocessing`; None
            fits them as in training.
        splits: The splits of the data whose masks are tested.
        datasets: Test only on these; empty for all.
    """

    adapters: bool = True
    image_size: int | None = None
    resize: Resize | None = None
    splits: tuple[str, ...] = ("test",)
    datasets: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class TrainingStage:
    """One training of a model, from where the stage before it ended.

    Attributes:
        name: Name of its folder.
        experiment: How it is trained; names its own data.
    """

    name: str
    experiment: Experiment


@dataclasses.dataclass(frozen=True)
class Method:
    """One way of training a model, and the settings in which it is tested.

    Attributes:
        title: Its name in tables.
        stages: How it is trained, on the comparison's data; none takes the general model as it is.
        from_general: Whether training starts from the general model, or from fresh parameters.
        settings: The settings of its tests, by name.
    """

    title: str
    stages: tuple[TrainingStage, ...] = ()
    from_general: bool = True
    settings: Mapping[str, EvalSetting] = dataclasses.field(
        default_factory=lambda: {"test": EvalSetting()}
    )


@dataclasses.dataclass(frozen=True)
class Ablation:
    """One choice of ours against another, all else equal.

    Attributes:
        question: What is compared.
        ours: What our default is.
        other: What the alternative is.
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
        data: The data folder that methods are trained and tested on.
        methods: By name; a name is also a folder's.
        seeds: Each method is trained once with each: it seeds fresh parameters, the simulated
            annotator, and the order of the data, which is the same for all methods.
        general: Checkpoint of the general model; empty for the one that `stages` make.
        stages: How the general model is made, where no checkpoint is given.
        general_data: The data folder that tests the general model on images of its own kind.
        protocols: The prompts that models get in tests, see `samjax.evaluation.protocols`.
        overall: Rows of the paper's table 2: title, method, setting.
        by_modality: Columns of the paper's table 3: title, method, setting.
        unseen: Columns of the paper's table 4: title, method, setting.
        ablations: Rows of the table of what our choices are worth.
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

    def __post_init__(self) -> None:
        if not self.general and not self.stages:
            raise ValueError("comparison: expected a general model or stages that make one")
        shown = (*self.overall, *self.by_modality, *self.unseen)
        named = [(method, setting) for _, method, setting in shown]
        named += [(name, "test") for a in self.ablations for name in (a.method, a.base)]
        for method, setting in named:
            if method not in self.methods or setting not in self.methods[method].settings:
                raise ValueError(
                    f"comparison: a table shows {method!r}, {setting!r}, which is not run"
                )


@dataclasses.dataclass(frozen=True)
class Job:
    """One model to make and to test.

    Attributes:
        name: The method's name.
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

    def checkpoint(self, comparison: "Comparison", workdir: Path) -> str:
        """Returns the path of its trained model; the general model's if it is not trained."""
        if not self.method.stages:
            return general_checkpoint(comparison, workdir)
        return str(self.folder(workdir) / self.method.stages[-1].name / "last")

    def missing(self, workdir: Path) -> list[str]:
        """Lists the settings that have no report yet."""
        names = self.method.settings
        return [n for n in names if not (self.report(workdir, n) / "report.json").exists()]


def general_checkpoint(comparison: Comparison, workdir: Path) -> str:
    """Returns the path of the general model, given or made."""
    return comparison.general or str(workdir / "general" / comparison.stages[-1].name / "last")


def general_report(workdir: Path) -> Path:
    """Returns the folder of the general model's test on images of its own kind."""
    return workdir / "general" / "test"


def jobs(comparison: Comparison) -> list[Job]:
    """Lists all models of a comparison; what is not trained has one seed.

    Seed by seed, so that a comparison that is stopped early has compared everything at least once.
    """
    return [
        Job(name, method, seed)
        for seed in comparison.seeds
        for name, method in comparison.methods.items()
        if method.stages or seed == comparison.seeds[0]
    ]
