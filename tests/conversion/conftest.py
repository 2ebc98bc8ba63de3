import functools
import os
import pickle
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

from samjax import models
from samjax.conversion import naming, torch_writer
from samjax.models import PeftConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def published():
    """Directory of checkpoints that the published PyTorch code wrote."""
    default = ROOT.parent / "shared/fixtures/sam_med2d_tiny"
    path = Path(os.environ.get("SAMJAX_FIXTURES", default))
    if not path.is_dir():
        pytest.skip(f"no fixtures of the published code in {path}")
    return path


@pytest.fixture(scope="session")
def tiny():
    """Small architecture in which no two sizes are equal."""
    return models.tiny(
        image_size=64,
        embed_dim=24,
        depth=3,
        num_heads=3,
        mlp_ratio=2.0,
        peft=PeftConfig("none"),
        mask_in_chans=12,
        decoder_heads=8,
        decoder_mlp_dim=40,
        iou_head_hidden_dim=20,
    )


@pytest.fixture(scope="session")
def tensors(tiny):
    """SAM's state dict of the small architecture, with random numbers."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(functools.partial(models.init, tiny), jax.random.key(0))
    return {
        naming.torch_name(path): rng.normal(size=naming.torch_shape(path, leaf.shape)).astype("f4")
        for path, leaf in models.named_leaves(shapes)
    }


@pytest.fixture
def write(tmp_path):
    """Writes tensors as a .pth file and returns its path."""

    def write_file(tensors, under_model=False, name="sam.pth"):
        path = tmp_path / name
        layout = torch_writer.SAM_MED2D if under_model else torch_writer.FLAT
        torch_writer.write(path, tensors, layout)
        return path

    return write_file


@pytest.fixture
def save(tmp_path):
    """Writes nested dicts of arrays and plain values as `torch.save` would."""

    def save_file(content, name="saved.pth"):
        arrays = []

        def opcodes(value):
            if isinstance(value, dict):
                pairs = value.items()
                return torch_writer._dict([opcodes(k) + opcodes(v) for k, v in pairs])
            if isinstance(value, np.ndarray):
                arrays.append(value)
                return torch_writer._tensor(len(arrays) - 1, value)
            return torch_writer._literal(value)

        code = pickle.PROTO + b"\x02" + opcodes(content) + pickle.STOP
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("archive/data.pkl", code)
            for number, array in enumerate(arrays):
                data = np.asarray(array, torch_writer._storage(array)[1]).tobytes()
                archive.writestr(f"archive/data/{number}", data)
        return tmp_path / name

    return save_file
