"""Report of the benchmark: the results as a table and as JSON, and the machine."""

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
from gfil.wording import MB, format_number

HEAD = ("row", "what", "result", "goal", "reached", "stretch", "reached", "notes")
REACHED = {None: "", True: "yes", False: "no"}


def machine() -> dict[str, Any]:
    """Describe this machine, with its load at the start of the run."""
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_mb": round(pages * page_bytes / MB),
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


def describe(facts: dict[str, Any], sizes: Sizes, results: Sequence[Result]) -> str:
    """Return the report as text: the machine, the sizes, and a Markdown table of the results."""
    machine = (
        f"Measured on {facts['date']}: {facts['cpu']}, {facts['cores']} cores, "
        f"{facts['memory_mb'] / 1000:.0f} GB, {facts['system']}, Python {facts['python']}, "
        f"SQLite {facts['sqlite']}, GFIL {facts['gfil']}; load {facts['load']} at the start."
    )
    if sizes != FULL:
        machine += f" Other sizes than usual: {_format_sizes(sizes)}."
    lines = [HEAD, *map(_cells, results)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    body = [_line(cells, widths) for cells in lines]
    rule = _line(["-" * width for width in widths], widths)
    return "\n".join([machine, "", body[0], rule, *body[1:]])


def as_json(facts: dict[str, Any], sizes: Sizes, results: Sequence[Result]) -> dict[str, Any]:
    """Return the report as one JSON object: `machine`, `sizes` and `rows`."""
    return {"machine": facts, "sizes": asdict(sizes), "rows": [*map(_result_as_json, results)]}


def _format_sizes(sizes: Sizes) -> str:
    usual = asdict(FULL)
    return ", ".join(
        f"{name} {size:,}" for name, size in asdict(sizes).items() if size != usual[name]
    )


def summarise(results: Sequence[Result]) -> str:
    """Return the results of one row on one line."""
    return "; ".join(f"{result.what}: {_format_value(result)}" for result in results)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"


def _cells(result: Result) -> tuple[str, ...]:
    return (
        result.row,
        result.what,
        _format_value(result),
        _format_goal(result.goal, result.unit),
        REACHED[result.reaches(result.goal)],
        _format_goal(result.stretch, result.unit),
        REACHED[result.reaches(result.stretch)],
        "; ".join(
            [
                *(f"{name} {_format_number(value)}" for name, value in result.peers.items()),
                *filter(None, [result.note]),
            ]
        ),
    )


def _format_value(result: Result) -> str:
    return "not measured" if result.value is None else _format_amount(result.value, result.unit)


def _format_goal(goal: Goal | None, unit: str) -> str:
    if goal is None:
        return ""
    bound = f"{goal.sign} {_format_amount(goal.bound, unit)}"
    return f"{bound} ({goal.note})" if goal.note else bound


def _format_amount(value: float, unit: str) -> str:
    space = "" if unit.startswith("/") else " "
    return f"{_format_number(value)}{space}{unit}"


def _format_number(value: float) -> str:
    return format_number(value) if abs(value) >= 100 else f"{value:.3g}"


def _result_as_json(result: Result) -> dict[str, Any]:
    return {
        "row": result.row,
        "what": result.what,
        "value": result.value,
        "unit": result.unit,
        "target": _format_goal(result.goal, result.unit) or None,
        "reached": result.reaches(result.goal),
        "stretch": _format_goal(result.stretch, result.unit) or None,
        "stretch_reached": result.reaches(result.stretch),
        "peers": dict(result.peers),
        "note": result.note,
    }
