"""The table of figures for people, the same as JSON, and the machine they were measured on."""

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import apsw

from gfil.bench.results import Goal, Result
from gfil.bench.workspace import FULL, Sizes
from gfil.config import VERSION

HEAD = ("row", "what", "result", "to reach", "reached", "stretch", "reached", "beside it")
REACHED = {None: "", True: "yes", False: "no"}


def machine() -> dict[str, Any]:
    """Tell what machine this is, and how busy it was when the run began."""
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_mb": round(pages * page_bytes / 1_000_000),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "gfil": VERSION,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "load": round(os.getloadavg()[0], 1),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def describe(facts: dict[str, Any], sizes: Sizes, figures: Sequence[Result]) -> str:
    """Return what people read: the machine, the sizes, and the figures as a Markdown table."""
    machine = (
        f"Measured on {facts['date']}: {facts['cpu']}, {facts['cores']} cores, "
        f"{facts['memory_mb'] / 1000:.0f} GB, {facts['system']}, Python {facts['python']}, "
        f"SQLite {facts['sqlite']}, GFIL {facts['gfil']}; load {facts['load']} at the start."
    )
    if sizes != FULL:
        machine += f" Not the usual sizes: {_sizes(sizes)}."
    lines = [HEAD, *map(_cells, figures)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    body = [_line(cells, widths) for cells in lines]
    rule = _line(["-" * width for width in widths], widths)
    return "\n".join([machine, "", body[0], rule, *body[1:]])


def names(facts: dict[str, Any], sizes: Sizes, figures: Sequence[Result]) -> dict[str, Any]:
    """Return the same for programs: `machine`, `sizes` and `rows`."""
    return {"machine": facts, "sizes": asdict(sizes), "rows": [*map(_names, figures)]}


def _sizes(sizes: Sizes) -> str:
    usual = asdict(FULL)
    return ", ".join(
        f"{name} {size:,}" for name, size in asdict(sizes).items() if size != usual[name]
    )


def sentence(figures: Sequence[Result]) -> str:
    """Return the results of one row on one line."""
    return "; ".join(f"{figure.what}: {_result(figure)}" for figure in figures)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"


def _cells(figure: Result) -> tuple[str, ...]:
    return (
        figure.row,
        figure.what,
        _result(figure),
        _goal(figure.goal, figure.unit),
        REACHED[figure.reaches(figure.goal)],
        _goal(figure.stretch, figure.unit),
        REACHED[figure.reaches(figure.stretch)],
        "; ".join(
            [
                *(f"{name} {_number(value)}" for name, value in figure.peers.items()),
                *filter(None, [figure.note]),
            ]
        ),
    )


def _result(figure: Result) -> str:
    return "not measured" if figure.value is None else _amount(figure.value, figure.unit)


def _goal(goal: Goal | None, unit: str) -> str:
    if goal is None:
        return ""
    bound = f"{goal.sign} {_amount(goal.bound, unit)}"
    return f"{bound} ({goal.note})" if goal.note else bound


def _amount(value: float, unit: str) -> str:
    space = "" if unit.startswith("/") else " "
    return f"{_number(value)}{space}{unit}"


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def _names(figure: Result) -> dict[str, Any]:
    return {
        "row": figure.row,
        "what": figure.what,
        "value": figure.value,
        "unit": figure.unit,
        "target": _goal(figure.goal, figure.unit) or None,
        "reached": figure.reaches(figure.goal),
        "stretch": _goal(figure.stretch, figure.unit) or None,
        "stretch_reached": figure.reaches(figure.stretch),
        "peers": dict(figure.peers),
        "note": figure.note,
    }
