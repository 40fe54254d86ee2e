"""scripts/mt5_pump.py: it is what the builder makes, and it needs no other file."""

import ast
import sys
from pathlib import Path

import pytest

from scripts import build_pump
from tests.pump.pump_process import PUMP


def test_mt5_pump_is_up_to_date() -> None:
    assert PUMP.read_text("utf-8") == build_pump.build(), "run: python scripts/build_pump.py"


def test_mt5_pump_imports_the_standard_library_only() -> None:
    imported = set()
    for node in ast.walk(ast.parse(PUMP.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported <= sys.stdlib_module_names


@pytest.mark.parametrize(
    ("modules", "error"),
    [
        (
            {"a": '"""A."""\n\nX_MAX = 1\n', "b": '"""B."""\n\nX_MAX = 2\n'},
            "a and b both define X_MAX",
        ),
        (
            {"a": '"""A."""\n\nimport time\n', "b": '"""B."""\n\n\ndef time() -> None: ...\n'},
            "an import and b both define time",
        ),
        (
            {
                "a": '"""A."""\n\nfrom scripts.pump.b import B\n\nA = B\n',
                "b": '"""B."""\n\nfrom scripts.pump.a import A\n\nB = A\n',
            },
            r"import each other: \['a', 'b'\]",
        ),
        ({"a": '"""A."""\n\nimport numpy as np\n'}, "import numpy under its own name"),
    ],
)
def test_modules_that_cannot_be_joined_are_refused(
    tmp_path: Path, modules: dict[str, str], error: str
) -> None:
    for name, text in modules.items():
        (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(SystemExit, match=error):
        build_pump.build(tmp_path)
