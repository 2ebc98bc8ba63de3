"""Recipes: one file for each, with `get_config() -> ml_collections.ConfigDict`.

Every field can be set on the command line (`--config.optim.learning_rate=3e-4`).
`samjax config` lists all fields with their meaning and the defaults of the paper, the published
code and samjax (docs/config.md).
"""
