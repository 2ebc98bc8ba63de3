"""Renders a scene as CT, MR, ultrasound or X-ray: levels, textures, noise, blur."""

from collections.abc import Callable

import cv2
import numpy as np

from samjax.data.phantoms.anatomy import Scene, fill

_LEVELS = 9  # Grey levels that structures are drawn from, so that neighbours differ.


def render(scene: Scene, modality: str, rng: np.random.Generator) -> np.ndarray:
    """Renders a scene in a modality.

    Args:
        scene: Anatomy to render.
        modality: One of `MODALITIES`.
        rng: Source of randomness.

    Returns:
        The image, (s, s) uint8.
    """
    image = MODALITIES[modality](scene, rng)
    return np.asarray(np.clip(image * 255, 0, 255), np.uint8)


def _ct(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    size = scene.body.shape[0]
    tissue = rng.uniform(0.4, 0.5)
    image = _fill_levels(scene, rng, outside=0.03, tissue=tissue, levels=(0.12, 0.9))
    fat = scene.body & (scene.labels == 0) & (_depth(scene.body) < rng.uniform(0.04, 0.09) * size)
    image[fat] = tissue * 0.5
    spine = fill(_disc((rng.uniform(-0.1, 0.1), 0.52), 0.12), size) & (scene.labels == 0)
    canal = fill(_disc((0.0, 0.6), 0.05), size) & (scene.labels == 0)
    image[spine], image[canal] = 0.97, tissue
    image = _add_texture(image, scene, rng, amount=0.07)
    grain = cv2.GaussianBlur(_white_noise(rng, size), (0, 0), 0.6) * rng.uniform(0.03, 0.07)
    return _blur(image, rng.uniform(0.5, 0.9)) + grain


def _mr(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    size = scene.body.shape[0]
    image = _fill_levels(scene, rng, outside=0.0, tissue=rng.uniform(0.3, 0.5), levels=(0.06, 0.95))
    rim = scene.body & (scene.labels == 0) & (_depth(scene.body) < rng.uniform(0.02, 0.05) * size)
    image[rim] = rng.uniform(0.7, 1.0)
    image = _add_texture(image, scene, rng, amount=0.12)
    bias = np.exp(0.18 * _smooth_noise(rng, size, 3))
    noise = rng.uniform(0.02, 0.05)
    image = _blur(image, rng.uniform(0.4, 0.8)) * bias
    return np.hypot(image + noise * _white_noise(rng, size), noise * _white_noise(rng, size))


def _ultrasound(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    size = scene.body.shape[0]
    image = _fill_levels(scene, rng, outside=0.0, tissue=rng.uniform(0.3, 0.4), levels=(0.04, 0.85))
    image = _add_texture(image, scene, rng, amount=0.2)
    image = _blur(image, 0.8)
    edges = np.abs(cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=3)) * 0.25
    speckle = np.hypot(_white_noise(rng, size), _white_noise(rng, size)) * 0.8
    speckle = cv2.GaussianBlur(speckle, (0, 0), sigmaX=1.1, sigmaY=0.6)
    depth = np.linspace(1.15, rng.uniform(0.55, 0.85), size, dtype=np.float32)[:, None]
    return (image + edges) * speckle * depth * scene.body


def _x_ray(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    size = scene.body.shape[0]
    image = _fill_levels(
        scene, rng, outside=0.08, tissue=rng.uniform(0.45, 0.55), levels=(0.15, 0.9)
    )
    thickness = np.sqrt(_depth(scene.body) / size + 0.01)
    image = np.where(scene.body, image * (0.75 + 0.6 * thickness), image)
    image = _add_texture(image, scene, rng, amount=0.06)
    image += (
        rng.uniform(0.04, 0.12) * _ribs(rng, size) * scene.body
    )  # A projection: bones show through all else.
    image = _blur(image, rng.uniform(0.8, 1.3)) * np.exp(0.08 * _smooth_noise(rng, size, 3))
    return image + rng.uniform(0.01, 0.03) * _white_noise(rng, size)


MODALITIES: dict[str, Callable[[Scene, np.random.Generator], np.ndarray]] = {
    "ct_00": _ct,
    "mr_t1": _mr,
    "ultrasound_00": _ultrasound,
    "x_ray": _x_ray,
}


def _fill_levels(
    scene: Scene,
    rng: np.random.Generator,
    outside: float,
    tissue: float,
    levels: tuple[float, float],
) -> np.ndarray:
    """Renders the outside, the tissue and each structure in one grey level each, well apart."""
    steps = np.linspace(*levels, _LEVELS)
    steps = steps[np.abs(steps - tissue) > 0.13]
    chosen = rng.permutation(steps)[: len(scene.kinds)]
    table = np.concatenate([[tissue], chosen]).astype(np.float32)
    return np.where(scene.body, table[scene.labels], np.float32(outside))


def _add_texture(
    image: np.ndarray, scene: Scene, rng: np.random.Generator, amount: float
) -> np.ndarray:
    """Adds one of three textures to every structure, from cloudy to fine."""
    size = image.shape[0]
    grains = np.stack([_smooth_noise(rng, size, size // cell) for cell in (16, 7, 3)])
    choice = rng.integers(3, size=len(scene.kinds) + 1)
    texture = np.take_along_axis(grains, choice[scene.labels][None], axis=0)[0]
    return image * (1 + amount * texture)


def _ribs(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draws a spine and pairs of ribs, (size, size) float32 from 0 to 1."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.abs(axis)[None, :], axis[:, None]
    phase = (y - 0.9 * x + 1.1 * x**2) * rng.uniform(3, 4.5) + rng.uniform()
    bands = np.clip(8 * np.abs(phase % 1 - 0.5) - 3, 0, 1)
    return np.where(x < 0.09, 0.8, bands)  # The spine is in the middle.


def _disc(centre: tuple[float, float], radius: float) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 40)
    return np.array(centre) + radius * np.stack([np.cos(angles), np.sin(angles)], 1)


def _depth(region: np.ndarray) -> np.ndarray:
    """Returns the distance of every pixel to the outside of a region, pixels."""
    return cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 3)


def _smooth_noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Draws smooth noise of unit deviation that varies over a `cells`-th of the image."""
    coarse = rng.standard_normal((cells + 1, cells + 1), np.float32)
    field = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return field / (field.std() + 1e-6)


def _white_noise(rng: np.random.Generator, size: int) -> np.ndarray:
    return rng.standard_normal((size, size), np.float32)


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(np.asarray(image, np.float32), (0, 0), sigma)
