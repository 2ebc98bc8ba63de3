"""Visualization of masks and prompts: pure functions on RGB arrays, (h, w, 3) uint8.

Training, evaluation, prediction and curation draw their pictures with them.
"""

import io
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from samjax.data.inputs import to_three_channels

Color = tuple[int, int, int]

TRUTH: Color = (70, 225, 110)
PREDICTION: Color = (255, 150, 40)
BOX: Color = (110, 190, 255)
FOREGROUND: Color = (25, 160, 75)
BACKGROUND: Color = (225, 45, 50)
PAPER: Color = (24, 26, 30)
INK: Color = (235, 237, 240)
# For several objects in one picture, easy to tell apart on grey images.
COLORS: tuple[Color, ...] = (
    (255, 150, 40),
    (70, 200, 255),
    (170, 235, 70),
    (255, 105, 180),
    (185, 140, 255),
    (255, 225, 70),
    (60, 220, 180),
    (255, 110, 90),
)

BAR_HEIGHT = 26
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE = 0.46


def to_uint8_rgb(image: np.ndarray, order: str = "rgb") -> np.ndarray:
    """Converts an image to an RGB picture.

    Args:
        image: (h, w), (h, w, 1), (h, w, 3) or (h, w, 4). Values other than uint8 are stretched from
            their own minimum and maximum to 0..255.
        order: Channel order of `image`, `rgb` or `bgr`.

    Returns:
        A new picture, (h, w, 3) uint8.

    Raises:
        ValueError: The shape is none of these, or the order is unknown.
    """
    image = to_three_channels(image, order, "rgb")
    if image.dtype != np.uint8:
        image = np.asarray(image, np.float64)
        low, high = image.min(), image.max()
        image = np.round((image - low) * (255 / max(high - low, 1e-12)))
    return np.array(image, np.uint8, order="C")


def resize_longest_side(image: np.ndarray, side: int) -> np.ndarray:
    """Resizes a picture so that its longer side is `side` pixels, keeping the aspect ratio."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, target, interpolation=interpolation)


def draw_mask(
    image: np.ndarray, mask: np.ndarray, color: Color, opacity: float = 0.35
) -> np.ndarray:
    """Overlays a mask on a picture; the mask (h', w') may have another resolution."""
    inside = _resize_mask(mask, image)[..., None]
    tint = (1 - opacity) * image + opacity * np.array(color)
    return np.where(inside, np.round(tint), image).astype(np.uint8)


def draw_classes(
    image: np.ndarray, labels: np.ndarray, colors: Sequence[Color], opacity: float = 0.35
) -> np.ndarray:
    """Overlays a label map on a picture: label `i` in `colors[i - 1]`, 0 not at all."""
    for label, color in enumerate(colors, 1):
        if (mask := labels == label).any():
            image = draw_contour(draw_mask(image, mask, color, opacity), mask, color)
    return image


def draw_labels(
    image: np.ndarray, labels: np.ndarray, colors: Sequence[Color], opacity: float = 0.4
) -> np.ndarray:
    """Overlays a map of many labels on a picture, with edges; it may have another resolution.

    Label `i` has `colors[i - 1]`, and after the last colour they begin anew; 0 is not drawn.
    """
    height, width = image.shape[:2]
    labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
    tint = np.array(colors, np.float32)[(labels.astype(np.int64) - 1) % len(colors)]
    edges = np.zeros((height, width), bool)
    for here, beside in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differ = labels[here] != labels[beside]
        edges[here] |= differ
        edges[beside] |= differ
    opacities = np.where(edges, 1, opacity)[..., None]
    drawn = np.round((1 - opacities) * image + opacities * tint)
    return np.where(labels[..., None] > 0, drawn, image).astype(np.uint8)


def legend(entries: Sequence[tuple[str, Color]], width: int) -> np.ndarray:
    """Draws a line of text for every entry, in its colour; says so if there is none."""
    bars = [label_bar(text, width, color) for text, color in entries]
    return np.concatenate(bars or [label_bar("background alone", width)])


def draw_contour(
    image: np.ndarray, mask: np.ndarray, color: Color, thickness: int = 2
) -> np.ndarray:
    """Draws the contours of a mask and its holes; the mask may have another resolution."""
    inside = _resize_mask(mask, image).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(image.copy(), contours, -1, color, thickness, cv2.LINE_AA)


def draw_box(
    image: np.ndarray, box: Sequence[float] | np.ndarray, color: Color = BOX, thickness: int = 2
) -> np.ndarray:
    """Draws a box (x0, y0, x1, y1), pixels of the picture, the upper corner exclusive."""
    x0, y0, x1, y1 = np.round(np.asarray(box, np.float64)).astype(int).tolist()
    corners = (x0, y0), (max(x1 - 1, x0), max(y1 - 1, y0))
    return cv2.rectangle(image.copy(), *corners, color, thickness)


def draw_points(
    image: np.ndarray, points: np.ndarray, labels: np.ndarray, radius: int = 6
) -> np.ndarray:
    """Draws clicks: a plus on green for foreground, a minus on red for background.

    Args:
        image: Picture.
        points: Coordinates (x, y), pixels of the picture, (n, 2).
        labels: 1 foreground, 0 background, (n,); any other label is not drawn.
        radius: Radius of a click's disc, pixels.
    """
    image = image.copy()
    arm = max(radius - 3, 1)
    for (x, y), label in zip(np.round(points).astype(int).tolist(), labels, strict=True):
        if label not in (0, 1):
            continue
        color = FOREGROUND if label else BACKGROUND
        cv2.circle(image, (x, y), radius + 1, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(image, (x, y), radius, color, -1, cv2.LINE_AA)
        cv2.line(image, (x - arm, y), (x + arm, y), (255, 255, 255), 2)
        if label:
            cv2.line(image, (x, y - arm), (x, y + arm), (255, 255, 255), 2)
    return image


def label_bar(text: str, width: int, color: Color = INK) -> np.ndarray:
    """Draws a bar (BAR_HEIGHT, width, 3) with a line of text; a long one loses its middle."""
    bar = np.full((BAR_HEIGHT, width, 3), PAPER, np.uint8)
    visible, count = text, len(text)
    while count and _text_width(visible) > width - 12:
        count -= 1
        end = count // 2  # Names of slices differ at their end.
        visible = f"{text[: count - end]}...{text[len(text) - end :]}"
    place = (6, BAR_HEIGHT - 9)
    return cv2.putText(bar, visible, place, _FONT, _FONT_SCALE, color, 1, cv2.LINE_AA)


def add_label(image: np.ndarray, text: str, color: Color = INK) -> np.ndarray:
    """Adds a bar of text above a picture."""
    return np.concatenate([label_bar(text, image.shape[1], color), image])


def grid(rows: Sequence[Sequence[np.ndarray]], gap: int = 6) -> np.ndarray:
    """Arranges pictures of any sizes in rows and columns, centred in their cells.

    Args:
        rows: Pictures by row; rows may differ in length.
        gap: Space between and around them, pixels.
    """
    columns = max(len(row) for row in rows)
    heights = [max(image.shape[0] for image in row) for row in rows]
    widths = [max(r[c].shape[1] for r in rows if c < len(r)) for c in range(columns)]
    shape = (sum(heights) + gap * (len(rows) + 1), sum(widths) + gap * (columns + 1), 3)
    canvas = np.full(shape, PAPER, np.uint8)
    top = gap
    for row, height in zip(rows, heights, strict=True):
        left = gap
        for image, width in zip(row, widths, strict=False):
            y = top + (height - image.shape[0]) // 2
            x = left + (width - image.shape[1]) // 2
            canvas[y : y + image.shape[0], x : x + image.shape[1]] = image
            left += width + gap
        top += height + gap
    return canvas


def encode_png(image: np.ndarray) -> bytes:
    """Encodes a picture (h, w, 3) RGB, or a mask (h, w), uint8, as PNG."""
    ordered = image if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1])
    _, data = cv2.imencode(".png", ordered)
    return data.tobytes()


def encode_labels(labels: np.ndarray, colors: Sequence[Color]) -> bytes:
    """Encodes a label map (h, w) uint8 as an indexed PNG: 0 is black, `i` has `colors[i - 1]`."""
    height, width = labels.shape
    picture = Image.frombytes("P", (width, height), np.ascontiguousarray(labels).tobytes())
    picture.putpalette([channel for color in ((0, 0, 0), *colors) for channel in color])
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


def encode_jpeg(image: np.ndarray, quality: int = 88) -> bytes:
    """Encodes a picture (h, w, 3) RGB uint8 as JPEG, for pages where a PNG is too large."""
    ordered = np.ascontiguousarray(image[..., ::-1])
    _, data = cv2.imencode(".jpg", ordered, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def _resize_mask(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Resizes a mask to the resolution of a picture, with smooth edges if it is enlarged."""
    height, width = image.shape[:2]
    values = np.asarray(mask != 0, np.float32)
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5


def _text_width(text: str) -> int:
    return cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)[0][0]
