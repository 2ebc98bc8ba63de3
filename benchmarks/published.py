"""The published PyTorch code as a competitor: its own functions, imported from a checkout.

The checkout is https://github.com/OpenGVLab/SAM-Med2D. It is not part of samjax.
"""

import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

from benchmarks import inputs, pytorch
from benchmarks.harness import Run
from samjax.data import index

NEEDS = ("torch",)
EVALUATION_NEEDS = ("torch", "albumentations", "skimage")

# Imported by the checkout, but not used by the functions timed here. Only its evaluation, which
# reads files, uses the other packages that it needs.
_NEVER_USED = ("apex", "torchvision", "matplotlib")
_UNUSED = (*_NEVER_USED, *EVALUATION_NEEDS[1:])


def checkout_at(path: str) -> str:
    """Checks a checkout and returns its absolute path.

    Raises:
        FileNotFoundError: The folder is not a checkout.
    """
    if not Path(path, "segment_anything").is_dir() or not Path(path, "train.py").is_file():
        raise FileNotFoundError(
            f"{path}: expected a checkout of OpenGVLab/SAM-Med2D, with segment_anything/ and "
            "train.py"
        )
    return str(Path(path).absolute())


def encoder(checkout: str, checkpoint: str, device: str, precision: str) -> Run:
    """Embeds a batch of images: (BATCH, g, g, c)."""
    torch = importlib.import_module("torch")
    model = _model(checkout, checkpoint, device, precision).eval()
    images = torch.from_numpy(inputs.images().transpose(0, 3, 1, 2).copy()).to(device)

    @torch.no_grad()
    def run() -> np.ndarray:
        return model.image_encoder(images).float().cpu().numpy().transpose(0, 2, 3, 1)

    return pytorch.run_in(precision, device, run)


def train_step(checkout: str, checkpoint: str, device: str, precision: str) -> Run:
    """Trains one batch by `train_one_epoch`: nine predictions and updates."""
    torch = importlib.import_module("torch")
    model = _model(checkout, checkpoint, device, precision).train()
    train = _script(checkout, "train", _UNUSED)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    criterion = train.FocalDiceloss_IoULoss()
    arguments = argparse.Namespace(
        device=device, use_amp=False, mask_num=inputs.OBJECTS, multimask=True, iter_point=8,
        image_size=inputs.SIZE, point_list=[1, 3, 5, 9], metrics=["iou", "dice"], work_dir="",
    )  # fmt: skip
    truth, boxes, points = inputs.objects()
    # The form of its data loader: batches of one image with its objects.
    arrays = {
        "image": inputs.images()[: inputs.TRAIN_IMAGES, None].transpose(0, 1, 4, 2, 3),
        "label": truth[:, :, None].astype(np.int64),
        "boxes": boxes[:, :, None],
        "point_coords": points[:, :, None],
        "point_labels": np.ones((*points.shape[:2], 1), np.int32),
    }
    batch = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}

    def run() -> None:
        with _captured_output():
            train.train_one_epoch(arguments, model, optimizer, [dict(batch)], 0, criterion)

    return pytorch.run_in(precision, device, run)


def prompt(
    checkout: str, checkpoint: str, device: str, precision: str, prepared: np.ndarray
) -> Run:
    """Predicts masks from clicks on an embedded image, by `SammedPredictor`.

    Args:
        checkout: Folder of the code.
        checkpoint: Path of the parameters.
        device: `cpu` or `cuda`.
        precision: A precision of `pytorch.run_in`.
        prepared: `inputs.photo` after preprocessing, (SIZE, SIZE, 3).

    Returns:
        A function that returns the low-resolution logits (CLICKS, m, m) of the best masks.
    """
    torch = importlib.import_module("torch")
    model = _model(checkout, checkpoint, device, precision).eval()
    _import(checkout, _UNUSED)
    predictor = importlib.import_module("segment_anything.predictor_sammed").SammedPredictor(model)
    image = torch.from_numpy(prepared.transpose(2, 0, 1)[None].copy()).to(device)
    # The state after its `set_image`, without the package that prepares its images.
    with torch.no_grad():
        predictor.features = model.image_encoder(image)
    predictor.is_image_set = True
    predictor.original_size = (inputs.ORIGINAL, inputs.ORIGINAL)
    predictor.new_size = (inputs.SIZE, inputs.SIZE)
    clicks = inputs.clicks()

    def run() -> np.ndarray:
        results = [predictor.predict(points, labels) for points, labels in clicks]
        return np.concatenate([low_res for _, _, low_res in results])

    return pytorch.run_in(precision, device, run)


def evaluation(
    checkout: str, checkpoint: str, device: str, precision: str, data: str, folder: str
) -> Run:
    """Evaluates by `test.py`: once for each protocol, one mask at a time.

    Args:
        checkout: Folder of the code.
        checkpoint: Path of the parameters.
        device: `cpu` or `cuda`.
        precision: A precision of `pytorch.run_in`.
        data: The data folder.
        folder: Folder for temporary files.

    Returns:
        A function that returns the mean Dice for boxes.
    """
    test = _script(checkout, "test", _NEVER_USED)
    model = _model(checkout, checkpoint, device, precision)
    # Its index maps masks to images, by paths relative to the working directory.
    images = {
        str(Path(data, mask)): str(Path(data, sample.image))
        for sample in index.load_index(data, "test")
        for mask in sample.masks
    }
    Path(folder, "label2image_test.json").write_text(json.dumps(images))
    common = dict(
        device=device, data_path=folder, image_size=inputs.SIZE, work_dir=folder, run_name="test",
        metrics=["iou", "dice"], multimask=True, prompt_path=None, save_pred=False, point_num=1,
        model_type="vit_b", batch_size=1, sam_checkpoint=None, encoder_adapter=True,
    )  # fmt: skip
    protocols = [dict(boxes_prompt=True, iter_point=1)]
    protocols += [dict(boxes_prompt=False, iter_point=count) for count in (1, 3, 5)]

    def run() -> float:
        scores = []
        for protocol in protocols:
            # The time to build a model is not measured.
            with (
                mock.patch.dict(test.sam_model_registry, vit_b=lambda _: model),
                _captured_output() as output,
            ):
                test.main(argparse.Namespace(**common, **protocol))
            scores.append(float(output.getvalue().rsplit("'dice': '", 1)[1].split("'")[0]))
        return scores[0]

    return pytorch.run_in(precision, device, run)


def _model(checkout: str, checkpoint: str, device: str, precision: str) -> Any:
    """Builds its ViT-B with adapters, and loads the parameters that all competitors share."""
    torch = importlib.import_module("torch")
    registry = _import(checkout, _NEVER_USED).sam_model_registry
    # Its own loading would run any code in the file, and keep the file open.
    arguments = argparse.Namespace(
        image_size=inputs.SIZE, sam_checkpoint=None, encoder_adapter=True
    )
    model = registry["vit_b"](arguments)
    tensors = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]
    model.load_state_dict(tensors, strict=True)
    if precision == "autocast":
        # Losses need float32, and its predictor returns NumPy arrays, which have no bfloat16.
        model.mask_decoder.register_forward_hook(_as_float32)
    return model.to(device)


def _as_float32(_module: Any, _inputs: Any, outputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(output.float() for output in outputs)


def _script(checkout: str, name: str, stand_ins: tuple[str, ...]) -> ModuleType:
    """Imports `train.py` or `test.py` of the checkout under a name without conflicts."""
    _import(checkout, stand_ins)
    spec = importlib.util.spec_from_file_location(f"published_{name}", Path(checkout, f"{name}.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _import(checkout: str, stand_ins: tuple[str, ...]) -> ModuleType:
    """Imports the checkout's package, with stand-ins for packages that are not installed."""
    if checkout not in sys.path:
        sys.path.insert(0, checkout)
    for package in stand_ins:
        if importlib.util.find_spec(package) is None:
            sys.meta_path.insert(0, _StandIn(package))
    return importlib.import_module("segment_anything")


class _StandIn:
    """Import hook that replaces a package that is not installed, and its modules, by mocks."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        """See `importlib.abc.MetaPathFinder`."""
        if name.split(".")[0] != self._package:
            return None
        return importlib.util.spec_from_loader(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: Any) -> Any:
        """See `importlib.abc.Loader`."""
        module = mock.MagicMock(name=spec.name)
        module.__path__ = []
        return module

    def exec_module(self, module: Any) -> None:
        """Does nothing: a mock has no code."""


@contextlib.contextmanager
def _captured_output() -> Iterator[io.StringIO]:
    """Captures printed output, which it yields, and hides progress bars."""
    output = io.StringIO()
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stderr(nowhere),
        contextlib.redirect_stdout(output),
    ):
        yield output
