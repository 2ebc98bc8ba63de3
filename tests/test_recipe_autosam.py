"""The recipe of AutoSAM's heads."""

import pytest

from configs import autosam
from samjax.training import config as training_config


@pytest.mark.parametrize("kind", autosam.HEADS)
def test_heads_of_a_frozen_encoder(kind):
    plain, cached = (
        training_config.from_config_dict(autosam.get_config(name))
        for name in (kind, f"{kind},cached")
    )
    for experiment in (plain, cached):
        assert experiment.model.head.kind == kind
        assert experiment.trainable.encoder == "frozen"
    assert plain.data.augment.kinds and not plain.data.cache_embeddings
    assert cached.data.cache_embeddings and not cached.data.augment.kinds


def test_other_heads_are_named():
    with pytest.raises(ValueError, match=r"expected autosam or autosam,cached, .*found 'masks'"):
        autosam.get_config("masks")
