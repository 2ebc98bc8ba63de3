"""Learning rate that falls when validation no longer improves; on the host, between batches."""

import dataclasses

from samjax.training.optim import OptimConfig


@dataclasses.dataclass(frozen=True)
class Plateau:
    """State of schedule `plateau`; what PyTorch's `ReduceLROnPlateau` keeps, for a maximum.

    Attributes:
        factor: Factor of the learning rate, a power of `optim.decay`.
        best: Best score so far; None before the first.
        stale: Validations since the best, or since the rate fell.
    """

    factor: float = 1.0
    best: float | None = None
    stale: int = 0

    def after(self, score: float, config: OptimConfig) -> "Plateau":
        """Returns the state after a validation.

        Args:
            score: Its score, at most 1; higher is better.
            config: Optimizer: `decay`, `plateau_patience` and `plateau_threshold`.
        """
        if self.best is None or score > self.best * (1 + config.plateau_threshold):
            return Plateau(self.factor, score)
        if self.stale < config.plateau_patience:
            return dataclasses.replace(self, stale=self.stale + 1)
        return Plateau(self.factor * config.decay, self.best)
