"""Recipes: one file each, `get_config() -> ml_collections.ConfigDict`.

Every field can be set on the command line (`--config.optim.learning_rate=3e-4`). What a field
means, and what the paper, the published code and we do by default, is said at its dataclass:

| section | class |
|---|---|
| model | `samjax.models.config.SamConfig` |
| input | `samjax.data.inputs.InputConfig` |
| data | `samjax.data.config.DataConfig` |
| phantoms | `samjax.data.phantoms.PhantomConfig` |
| session | `samjax.prompts.interaction.SessionConfig` |
| loss | `samjax.losses.segmentation.LossConfig` |
| trainable | `samjax.training.step.TrainableConfig` |
| optim | `samjax.training.optim.OptimConfig` |
| mesh | `samjax.training.sharding.MeshConfig` |
| run | `samjax.training.experiment.RunConfig` |
| validation | `samjax.training.experiment.ValidationConfig` |
| test | `samjax.evaluation.evaluator.EvalConfig` |
| checkpoint | `samjax.training.checkpoint.CheckpointConfig` |
| log | `samjax.training.experiment.LogConfig` |
"""
