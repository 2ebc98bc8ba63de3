"""Charts as inline SVG; colours come from the page's style, for light and dark."""

from collections.abc import Mapping, Sequence

from samjax.evaluation.html_report.elements import Html, element, joined

_WIDTH, _HEIGHT = 420, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 134, 14, 42  # Margins; names of lines stand at the right.
_SIDE = 260  # Of a reliability diagram.
_STRIP = 44  # Height of the histogram below it.
_LINE_GAP = 15  # Smallest distance of names of lines.


def curves(lines: Mapping[str, Sequence[float]], x_title: str, title: str) -> Html:
    """Draws curves of shares over steps 1, 2, ...; the y axis is in %.

    Args:
        lines: Values in 0 to 1 by the line's name; all of the same length.
        x_title: Title of the x axis.
        title: Title, for those who do not see it.
    """
    count = max(map(len, lines.values()))
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def x(step: float) -> float:
        return _LEFT + (right - _LEFT) * (step - 1) / max(count - 1, 1)

    def y(value: float) -> float:
        return bottom - (bottom - _TOP) * value

    parts: list[Html] = []
    for share in range(0, 101, 20):
        parts.append(_line(_LEFT, y(share / 100), right, y(share / 100), "grid"))
        tick = f"{share} %" if share == 100 else str(share)
        parts.append(_text(_LEFT - 6, y(share / 100) + 4, tick, "end"))
    ticks = sorted({1, count, *range(5, count - 1, 5)}) if count > 6 else range(1, count + 1)
    parts += [_text(x(step), bottom + 17, str(step), "middle") for step in ticks]
    parts.append(_text((_LEFT + right) / 2, _HEIGHT - 6, x_title, "middle"))
    heights = _apart([y(values[-1]) for values in lines.values()], _LINE_GAP, _TOP, bottom)
    for number, ((name, values), height) in enumerate(zip(lines.items(), heights, strict=True)):
        points = " ".join(f"{x(i):.1f},{y(value):.1f}" for i, value in enumerate(values, 1))
        parts.append(element("polyline", points=points, class_=f"line s{number % 6}"))
        label = f"{name} {100 * values[-1]:.1f}"
        parts.append(_text(right + 8, height + 4, label, "start", f"f{number % 6}"))
    return _svg(_WIDTH, _HEIGHT, title, parts)


def reliability(bins: Sequence[Mapping[str, float]], title: str) -> Html:
    """Draws a reliability diagram: true over predicted IoU in bins, and a histogram of masks.

    Args:
        bins: See `samjax.evaluation.metrics.calibration.reliability`.
        title: Title, for those who do not see it.
    """
    left, top, side = 56, 10, _SIDE
    most = max(each["count"] for each in bins)
    base = top + side + 30 + _STRIP

    def x(value: float) -> float:
        return left + side * min(max(value, 0.0), 1.0)

    def y(value: float) -> float:
        return top + side * (1 - min(max(value, 0.0), 1.0))

    parts: list[Html] = []
    for tenth in range(0, 11, 2):
        value = tenth / 10
        parts.append(_line(left, y(value), left + side, y(value), "grid"))
        parts.append(_text(left - 6, y(value) + 4, f"{value:.1f}", "end"))
        parts.append(_text(x(value), top + side + 16, f"{value:.1f}", "middle"))
    middle = top + side / 2
    turned = element("g", _text(0, 0, "true IoU", "middle"), transform=_at(14, middle))
    parts += [turned, _line(x(0), y(0), x(1), y(1), "ideal")]
    for each in bins:
        at, found, share = each["predicted"], each["iou"], each["count"] / most
        told = (
            f"predicted {each['low']:.1f} to {each['high']:.1f}: {each['count']:.0f} masks, mean "
            f"predicted IoU {at:.3f}, true {found:.3f}"
        )
        height = max(_STRIP * share, 1)
        parts.append(_line(x(at), y(at), x(at), y(found), "gap"))
        parts.append(
            element(
                "circle",
                element("title", told),
                cx=f"{x(at):.1f}",
                cy=f"{y(found):.1f}",
                r=f"{3 + 6 * share**0.5:.1f}",
                class_="dot",
            )
        )
        parts.append(
            element(
                "rect",
                element("title", told),
                x=f"{x(each['low']) + 1:.1f}",
                y=f"{base - height:.1f}",
                width=f"{side / 10 - 2:.1f}",
                height=f"{height:.1f}",
                class_="bar",
            )
        )
    parts.append(_line(left, base, left + side, base, "axis"))
    parts.append(_text(left - 6, base - _STRIP + 8, f"{most:.0f}", "end"))
    parts.append(_text(left - 6, base, "0", "end"))
    parts.append(_text(left + side / 2, base + 17, "predicted IoU", "middle"))
    return _svg(left + side + 16, base + 24, title, parts)


def interval(
    value: float,
    bounds: Sequence[float] | None,
    span: tuple[float, float] = (0.0, 1.0),
    reference: float | None = None,
    oracle: float | None = None,
) -> Html:
    """Draws a value with its interval on a small scale, for the cell of a table.

    It is hidden from screen readers: the numbers stand in the row.

    Args:
        value: The value, a dot.
        bounds: Its interval, a line; None: none.
        span: Ends of the scale.
        reference: A value to compare with, a dashed line.
        oracle: The value with the truth as a judge, a ring.
    """
    width, height, margin = 190, 22, 6

    def x(at: float) -> float:
        share = (at - span[0]) / ((span[1] - span[0]) or 1)
        return margin + (width - 2 * margin) * min(max(share, 0.0), 1.0)

    middle = height / 2
    parts = [_line(x(span[0]), middle, x(span[1]), middle, "grid")]
    if reference is not None:
        parts.append(_line(x(reference), 2, x(reference), height - 2, "reference"))
    if bounds:
        parts.append(_line(x(bounds[0]), middle, x(bounds[1]), middle, "range"))
    if oracle is not None:
        parts.append(element("circle", cx=f"{x(oracle):.1f}", cy=middle, r=4.5, class_="ring"))
    parts.append(element("circle", cx=f"{x(value):.1f}", cy=middle, r=4.5, class_="dot"))
    return element(
        "svg",
        *parts,
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        aria_hidden="true",
    )


def _svg(width: float, height: float, title: str, parts: Sequence[Html]) -> Html:
    return element(
        "svg",
        element("title", title),
        joined(parts),
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        class_="chart",
        style=f"max-width:{width:g}px",
    )


def _at(x: float, y: float) -> str:
    return f"translate({x:.1f} {y:.1f}) rotate(-90)"


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Html:
    at = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return element("line", **{n: f"{v:.1f}" for n, v in at.items()}, class_=kind)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "label") -> Html:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_=kind)


def _apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Returns places at least a gap apart, in their order, as near to the given ones as simple."""
    found = list(places)
    last = low - gap
    for i in sorted(range(len(found)), key=found.__getitem__):
        last = found[i] = max(found[i], last + gap)
    surplus = max(last - high, 0.0)
    return [place - surplus for place in found]
