"""Hugging Face's `SamModel` as a competitor, installed by pip. It has no adapters."""

import importlib
from typing import Any

import numpy as np

from benchmarks import inputs, pytorch
from benchmarks.harness import Run

NEEDS = ("torch", "transformers")


def write_checkpoint(folder: str) -> None:
    """Writes a ViT-B with random weights, which both competitors load."""
    torch, transformers = importlib.import_module("torch"), _transformers()
    torch.manual_seed(0)
    vision = transformers.SamVisionConfig(image_size=inputs.SIZE)
    prompts = transformers.SamPromptEncoderConfig(image_size=inputs.SIZE)
    # SAM's own decoder has 1e-5 where Hugging Face has 1e-6 by default.
    decoder = transformers.SamMaskDecoderConfig(layer_norm_eps=1e-5)
    config = transformers.SamConfig(
        vision_config=vision.to_dict(),
        prompt_encoder_config=prompts.to_dict(),
        mask_decoder_config=decoder.to_dict(),
    )
    transformers.SamModel(config).save_pretrained(folder)


def encoder(checkpoint: str, device: str, precision: str) -> Run:
    """Embeds a batch of images: (BATCH, g, g, c)."""
    torch = importlib.import_module("torch")
    model = _model(checkpoint, device)
    images = torch.from_numpy(inputs.images().transpose(0, 3, 1, 2).copy()).to(device)

    @torch.no_grad()
    def run() -> np.ndarray:
        embedding = model.get_image_embeddings(images).float()
        return embedding.cpu().numpy().transpose(0, 2, 3, 1)

    return pytorch.run_in(precision, device, run)


def decoder(checkpoint: str, device: str, precision: str) -> Run:
    """Decodes one point for each of OBJECTS objects in an embedded image: (OBJECTS, 3, m, m)."""
    torch = importlib.import_module("torch")
    model = _model(checkpoint, device)
    images = torch.from_numpy(inputs.images()[:1].transpose(0, 3, 1, 2).copy()).to(device)
    with torch.no_grad():
        embedding = model.get_image_embeddings(images)
    _, _, points = inputs.objects(1)
    prompts = {
        "image_embeddings": embedding,
        "input_points": torch.from_numpy(points[:, :, None]).to(device),
        "input_labels": torch.ones((1, inputs.OBJECTS, 1), dtype=torch.int32, device=device),
    }

    @torch.no_grad()
    def run() -> np.ndarray:
        return model(**prompts, multimask_output=True).pred_masks[0].float().cpu().numpy()

    return pytorch.run_in(precision, device, run)


def _model(checkpoint: str, device: str) -> Any:
    return _transformers().SamModel.from_pretrained(checkpoint).eval().to(device)


def _transformers() -> Any:
    """Imports the package and disables its progress bars."""
    transformers = importlib.import_module("transformers")
    transformers.logging.disable_progress_bar()
    return transformers
