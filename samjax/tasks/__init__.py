"""Training tasks: the losses of the updates that a training batch consists of."""

from samjax.tasks.base import LossOutput, Task
from samjax.tasks.interactive import InteractiveTask, TrainableConfig

__all__ = ["InteractiveTask", "LossOutput", "Task", "TrainableConfig"]
