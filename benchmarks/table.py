"""The row of numbers that a case comes to, for the JSON file and for the table."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks import pytorch
from benchmarks.harness import Measured

OURS, PEAK = "ours", "peak"

Row = dict[str, Any]


def row(measured: Mapping[str, Measured], per: int, flops: int, peak: float) -> Row:
    """Compares samjax with a peer.

    Args:
        measured: `ours`; `peak`, the product of `peak.product`; and the peer by the precisions it
            was run in (`pytorch.PRECISIONS`), of which the fastest counts, if there is a peer.
        per: Things that a run does; seconds are those of one.
        flops: Operations that one of them takes on paper.
        peak: Most FLOP/s that this machine reached before.
    """
    ours = measured[OURS]
    peers = {name: measured[name] for name in pytorch.PRECISIONS if name in measured}
    fastest = min(peers, key=lambda name: peers[name].median, default=None)
    seconds = ours.median / per
    # Where others use the machine too, it may have been slower before.
    peak = max(peak, measured[PEAK].answer / min(measured[PEAK].seconds))
    answers = {name: one.answer for name, one in measured.items() if name != PEAK}
    return {
        **ratio(seconds, peers[fastest].median / per if fastest else None),
        "theirs_precision": fastest,
        "flops": flops,
        "gflops_per_s": flops / seconds / 1e9,
        "peak_gflops_per_s": peak / 1e9,
        "share_of_peak": flops / seconds / peak,
        # To the peer's most exact answer.
        "differ": differ(ours.answer, next(iter(peers.values())).answer) if peers else None,
        "answers": {name: x for name, x in answers.items() if isinstance(x, float)},
        "per": per,
        "runs": {
            name: {"seconds": one.seconds, "peak_bytes": one.peak_bytes}
            for name, one in measured.items()
        },
    }


def ratio(ours: float | None, theirs: float | None) -> Row:
    """Seconds of both sides, either of which may be missing, and how many times we are faster."""
    both = ours is not None and theirs is not None
    return {"ours_s": ours, "theirs_s": theirs, "ratio": theirs / ours if both else None}


def differ(ours: Any, theirs: Any) -> float | None:
    """The largest difference of two answers over the largest of theirs; None without answers."""
    if ours is None or theirs is None:
        return None
    ours, theirs = np.asarray(ours, np.float32), np.asarray(theirs, np.float32)
    if ours.shape != theirs.shape:
        raise ValueError(f"answers: expected the peer's shape {theirs.shape}, found {ours.shape}")
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def header() -> str:
    """Titles of the table's columns."""
    titles = ("ours, s", "theirs, s", "ratio", "GFLOP/s", "of peak", "ours, GB", "theirs", "differ")
    return _columns("", titles)


def line(title: str, row: Row) -> str:
    """One line of the table; what a row lacks is left blank."""
    runs = row.get("runs", {})
    memory = [runs.get(name, {}).get("peak_bytes") for name in (OURS, row.get("theirs_precision"))]
    cells = (
        _text(row.get("ours_s"), ".4g"),
        _text(row.get("theirs_s"), ".4g"),
        _text(row.get("ratio"), ".2f", "x"),
        _text(row.get("gflops_per_s"), ".0f"),
        _text(row.get("share_of_peak"), ".0%"),
        *(_text(None if peak is None else peak / 1e9, ".2f") for peak in memory),
        _text(row.get("differ"), ".1e"),
    )
    return _columns(title, cells)


def _text(value: float | None, form: str, unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"


def _columns(title: str, cells: tuple[str, ...]) -> str:
    return (f"{title:<30}" + "".join(f"{cell:>11}" for cell in cells)).rstrip()
