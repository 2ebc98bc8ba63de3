"""Automatic masks beside SAM's published generator: the same masks, and the time of both.

python -m benchmarks.automatic CHECKOUT [--checkpoint PATH] [--image FILE] [--repeats 3]

CHECKOUT is a checkout of https://github.com/facebookresearch/segment-anything, which needs torch
and torchvision. Without a checkpoint, both run a small random network. Of a checkpoint whose
image encoder SAM does not have, such as a TinyViT, that encoder runs in both; prompt encoder and
decoder are each program's own. Images are prepared as SAM does. As no thresholds suit all networks,
they are quantiles of the predictions: a part of the masks passes each filter. Each row of the table
has other settings. Masks are matched by their points and predicted IoU; few differ, as two programs
round logits next to a threshold differently.
"""

import argparse
import dataclasses
import importlib
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np
from PIL import Image

import samjax
from samjax import models, runtime
from samjax.data.inputs import Preprocessing
from samjax.inference import batch
from samjax.inference.automatic import AutomaticMaskGenerator
from samjax.models import PeftConfig
from samjax.models.directory import Model

NEEDS = ("torch", "torchvision")
PREPROCESSING = Preprocessing(interpolation="antialias", mask_prompt="logits")
# By name; `iou` and `stability` are the quantiles that the thresholds are.
SETTINGS: dict[str, dict[str, Any]] = {
    "all filters": dict(iou=0.3, stability=0.3),
    "small regions": dict(iou=0.3, stability=0.3, min_mask_region_area=100),
    "crops": dict(iou=0.3, stability=0.3, crop_n_layers=1, crop_n_points_downscale_factor=2),
    "crops, small regions": dict(
        iou=0.3, stability=0.2, crop_n_layers=2, box_nms_thresh=0.5, min_mask_region_area=50,
        crop_n_points_downscale_factor=2,
    ),
}  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Compares all settings and prints a row for each."""
    parser = argparse.ArgumentParser("python -m benchmarks.automatic", description=__doc__)
    parser.add_argument("checkout", type=checkout_at)
    parser.add_argument("--checkpoint", help="a model; default: a small random network")
    parser.add_argument("--image", help="default: smooth noise, 200 x 320 pixels")
    parser.add_argument("--points", type=int, default=16, help="points per side; default: 16")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args(argv)
    runtime.prepare()
    model = random_model()
    if arguments.checkpoint:
        model = dataclasses.replace(samjax.load(arguments.checkpoint), preprocessing=PREPROCESSING)
    image = noise()
    if arguments.image:
        image = np.asarray(Image.open(arguments.image).convert("RGB"))
    print("| Settings | Masks | Published | Same | Lowest IoU | Seconds | Published | Ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, settings in SETTINGS.items():
        kwargs = with_thresholds(model, image, {"points_per_side": arguments.points, **settings})
        ours, theirs = generators(arguments.checkout, model, kwargs)
        found, seconds = timed(ours, image, arguments.repeats)
        expected, published = timed(theirs, image, arguments.repeats)
        same, lowest = agreement(found, expected)
        print(
            f"| {name} | {len(found)} | {len(expected)} | {same} | {lowest:.4f} | {seconds:.2f} "
            f"| {published:.2f} | {published / seconds:.2f} |",
            flush=True,
        )
    return 0


def checkout_at(path: str) -> str:
    """Checks a checkout and returns its absolute path.

    Raises:
        FileNotFoundError: The folder is not a checkout.
    """
    if not Path(path, "segment_anything", "automatic_mask_generator.py").is_file():
        raise FileNotFoundError(
            f"{path}: expected a checkout of facebookresearch/segment-anything, with "
            "segment_anything/automatic_mask_generator.py"
        )
    return str(Path(path).absolute())


def random_model(size: int = 128) -> Model:
    """Returns a small network of SAM's kind whose random masks and scores vary."""
    config = models.tiny(
        image_size=size, patch_size=16, embed_dim=32, window_size=3, peft=PeftConfig("none"),
        mask_in_chans=16, prompt_dim=32, decoder_heads=8, decoder_mlp_dim=64,
    )  # fmt: skip
    params = models.init(config, jax.random.key(0))
    rng = np.random.default_rng(0)
    flat = {}
    for path, leaf in models.named_leaves(params):
        fan_in = np.prod(leaf.shape[:-1]) if path.endswith("kernel") else 16
        mean = 1.0 if path.endswith("scale") else 0.0
        flat[path] = rng.normal(mean, fan_in**-0.5, leaf.shape).astype(np.float32)
        if "iou" in path and leaf.shape == (config.num_multimask + 1,):
            flat[path] += 0.5  # Predicted IoU from 0 to 1.
    return Model(config, PREPROCESSING, _nested(flat))


def noise(height: int = 200, width: int = 320) -> np.ndarray:
    """Returns an image of smooth coloured noise, (height, width, 3) uint8."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def with_thresholds(model: Model, image: np.ndarray, settings: dict[str, Any]) -> dict[str, Any]:
    """Returns settings with thresholds at the quantiles `iou` and `stability` of all masks."""
    settings = dict(settings)
    quantiles = settings.pop("iou"), settings.pop("stability")
    loose = dict(pred_iou_thresh=0.0, stability_score_thresh=0.0, box_nms_thresh=1.0)
    every = AutomaticMaskGenerator(
        model, **loose, points_per_side=settings["points_per_side"]
    ).propose(image)
    values = (
        np.quantile(each, at)
        for each, at in zip((every.predicted_iou, every.stability), quantiles, strict=True)
    )
    names = "pred_iou_thresh", "stability_score_thresh"
    return settings | {
        name: float(np.clip(value, 0, 1)) for name, value in zip(names, values, strict=True)
    }


def generators(
    checkout: str, model: Model, settings: dict[str, Any]
) -> tuple[Callable[[np.ndarray], list], Callable[[np.ndarray], list]]:
    """Returns our generator and the published one, with the same parameters."""
    ours = AutomaticMaskGenerator(model, **settings)
    if checkout not in sys.path:
        sys.path.insert(0, checkout)
    published = importlib.import_module("segment_anything")
    return ours.generate, published.SamAutomaticMaskGenerator(
        published_model(model), **settings
    ).generate


def published_model(model: Model) -> Any:
    """Returns the published network with the parameters of ours."""
    torch = importlib.import_module("torch")
    parts = importlib.import_module("segment_anything.modeling")
    config, grid = model.config, model.config.grid_size
    encoder = encoder_of_ours(model) if config.encoder != "vit" else parts.ImageEncoderViT(
        img_size=config.image_size, patch_size=config.patch_size, embed_dim=config.embed_dim,
        depth=config.depth, num_heads=config.num_heads, mlp_ratio=config.mlp_ratio,
        out_chans=config.prompt_dim, qkv_bias=True, use_rel_pos=True,
        norm_layer=lambda width: torch.nn.LayerNorm(width, eps=1e-6),
        window_size=config.window_size, global_attn_indexes=config.global_attn_indexes,
    )  # fmt: skip
    network = parts.Sam(
        image_encoder=encoder,
        prompt_encoder=parts.PromptEncoder(
            embed_dim=config.prompt_dim, image_embedding_size=(grid, grid),
            input_image_size=(config.image_size,) * 2, mask_in_chans=config.mask_in_chans,
        ),
        mask_decoder=parts.MaskDecoder(
            num_multimask_outputs=config.num_multimask, transformer_dim=config.prompt_dim,
            transformer=parts.TwoWayTransformer(
                depth=config.decoder_depth, embedding_dim=config.prompt_dim,
                mlp_dim=config.decoder_mlp_dim, num_heads=config.decoder_heads,
            ),
            iou_head_depth=3, iou_head_hidden_dim=config.iou_head_hidden_dim,
        ),
        pixel_mean=list(model.preprocessing.mean), pixel_std=list(model.preprocessing.std),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        samjax.to_torch(Path(folder) / "sam.pth", model)
        tensors = torch.load(Path(folder) / "sam.pth", map_location="cpu", weights_only=True)
    if config.encoder != "vit":
        tensors = {name: x for name, x in tensors.items() if not name.startswith("image_encoder.")}
    network.load_state_dict(tensors, strict=True)
    return network.eval()


def encoder_of_ours(model: Model) -> Any:
    """Returns our image encoder as a module of the published network."""
    torch = importlib.import_module("torch")
    params = jax.device_put(model.params)

    class Encoder(torch.nn.Module):
        img_size = model.config.image_size

        def forward(self, images: Any) -> Any:
            """Encodes normalised images, (b, 3, s, s), to (b, c, g, g)."""
            channels_last = np.asarray(images.permute(0, 2, 3, 1))
            embedding = batch.encode(model.config, params, channels_last).embedding
            return torch.from_numpy(np.array(embedding, np.float32)).permute(0, 3, 1, 2)

    return Encoder()


def timed(
    generate: Callable[[np.ndarray], list], image: np.ndarray, repeats: int
) -> tuple[list[dict[str, Any]], float]:
    """Returns the masks, and the shortest time of some runs after a first one, seconds."""
    found, seconds = generate(image), []
    for _ in range(repeats):
        start = time.perf_counter()
        generate(image)
        seconds.append(time.perf_counter() - start)
    return found, min(seconds, default=float("nan"))


def agreement(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> tuple[int, float]:
    """Returns the number of masks of the same point, crop and score, and their lowest IoU."""
    lowest, same = 1.0, 0
    for theirs in expected:
        matches = [ours for ours in found if _is_same(ours, theirs)]
        if matches:
            a, b = matches[0]["segmentation"], theirs["segmentation"]
            lowest = min(lowest, (a & b).sum() / max((a | b).sum(), 1))
            same += 1
    return same, lowest


def _is_same(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return (
        np.allclose(ours["point_coords"], theirs["point_coords"], atol=1e-6)
        and [*ours["crop_box"]] == [*theirs["crop_box"]]
        and abs(ours["predicted_iou"] - theirs["predicted_iou"]) < 1e-3
    )


def _nested(flat: dict[str, np.ndarray]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        *above, name = path.split("/")
        part = nested
        for each in above:
            part = part.setdefault(each, {})
        part[name] = value
    return nested


if __name__ == "__main__":
    sys.exit(main())
