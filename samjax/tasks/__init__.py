"""Training tasks: the losses of the updates that a training batch consists of."""

from samjax.tasks.base import IterativeTask, LossOutput, Task
from samjax.tasks.class_prompts import ClassPromptTask
from samjax.tasks.interactive import InteractiveTask
from samjax.tasks.semantic import SemanticTask
from samjax.tasks.trainable import TrainableConfig

__all__ = [
    "ClassPromptTask",
    "InteractiveTask",
    "IterativeTask",
    "LossOutput",
    "SemanticTask",
    "Task",
    "TrainableConfig",
]
