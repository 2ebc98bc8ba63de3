"""Results of a case as a row of numbers, for the JSON file and the printed table."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks import pytorch
from benchmarks.harness import Measurement

OURS, PEAK = "ours", "peak"

Row = dict[str, Any]


def row(measured: Mapping[str, Measurement], per: int, flops: int, peak: float) -> Row:
    """Compares samjax with a peer and returns the row.

    Args:
        measured: Measurements of `ours`, of `peak` (`peak.product`), and of the peer by precision
            (`pytorch.PRECISIONS`), if there is a peer. The fastest precision counts.
        per: Number of items in a run; the seconds in the row are for one item.
        flops: Calculated operations for one item.
        peak: Highest FLOP/s measured on this machine before.
    """
    ours = measured[OURS]
    peers = {name: measured[name] for name in pytorch.PRECISIONS if name in measured}
    fastest = min(peers, key=lambda name: peers[name].median, default=None)
    seconds = ours.median / per
    # On a shared machine, the earlier measurement may have been slower.
    peak = max(peak, measured[PEAK].output / min(measured[PEAK].seconds))
    outputs = {name: one.output for name, one in measured.items() if name != PEAK}
    return {
        **ratio(seconds, peers[fastest].median / per if fastest else None),
        "theirs_precision": fastest,
        "flops": flops,
        "gflops_per_s": flops / seconds / 1e9,
        "peak_gflops_per_s": peak / 1e9,
        "share_of_peak": flops / seconds / peak,
        # Compared with the peer's most exact result.
        "differ": relative_difference(ours.output, next(iter(peers.values())).output)
        if peers
        else None,
        "answers": {name: x for name, x in outputs.items() if isinstance(x, float)},
        "per": per,
        "runs": {
            name: {"seconds": one.seconds, "peak_bytes": one.peak_bytes}
            for name, one in measured.items()
        },
    }


def ratio(ours: float | None, theirs: float | None) -> Row:
    """Returns seconds of both sides, each of which may be missing, and their ratio."""
    both = ours is not None and theirs is not None
    return {"ours_s": ours, "theirs_s": theirs, "ratio": theirs / ours if both else None}


def relative_difference(ours: Any, theirs: Any) -> float | None:
    """Returns the largest difference, divided by the largest of `theirs`; None without results."""
    if ours is None or theirs is None:
        return None
    ours, theirs = np.asarray(ours, np.float32), np.asarray(theirs, np.float32)
    if ours.shape != theirs.shape:
        raise ValueError(f"results: expected the peer's shape {theirs.shape}, found {ours.shape}")
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def header() -> str:
    """Formats the titles of the columns."""
    titles = ("ours, s", "theirs, s", "ratio", "GFLOP/s", "of peak", "ours, GB", "theirs", "differ")
    return _join_cells("", titles)


def line(title: str, row: Row) -> str:
    """Formats one line of the table; missing values are blank."""
    runs = row.get("runs", {})
    memory = [runs.get(name, {}).get("peak_bytes") for name in (OURS, row.get("theirs_precision"))]
    cells = (
        _cell(row.get("ours_s"), ".4g"),
        _cell(row.get("theirs_s"), ".4g"),
        _cell(row.get("ratio"), ".2f", "x"),
        _cell(row.get("gflops_per_s"), ".0f"),
        _cell(row.get("share_of_peak"), ".0%"),
        *(_cell(None if peak is None else peak / 1e9, ".2f") for peak in memory),
        _cell(row.get("differ"), ".1e"),
    )
    return _join_cells(title, cells)


def _cell(value: float | None, form: str, unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"


def _join_cells(title: str, cells: tuple[str, ...]) -> str:
    return (f"{title:<30}" + "".join(f"{cell:>11}" for cell in cells)).rstrip()
