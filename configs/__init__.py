"""Recipes: one file each, `get_config() -> ml_collections.ConfigDict`.

Every field can be set on the command line (`--config.optim.learning_rate=3e-4`).
`samjax config` shows them all with what they mean, and what the paper, the published code and we do
by default (docs/config.md).
"""
