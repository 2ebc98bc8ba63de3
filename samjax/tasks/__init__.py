"""Training tasks: the losses of the updates that a training batch consists of."""

from samjax.tasks.base import LossOutput, Task
from samjax.tasks.interactive import InteractiveTask
from samjax.tasks.semantic import SemanticTask
from samjax.tasks.trainable import TrainableConfig

__all__ = ["InteractiveTask", "LossOutput", "SemanticTask", "Task", "TrainableConfig"]
