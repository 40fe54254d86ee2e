"""The house rules: what may import what, how long things may be, where SQL and Flask may stand."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gfil.config import ROOT

FUNCTION_LINES_MAX = 50
FILE_LINES_MAX = 400
GENERATED = {"scripts/mt5_pump.py"}  # scripts/build_pump.py joins it from scripts/pump/
JAVASCRIPT_LINES_MAX = 200

# A folder or top-level module of gfil/ imports those of earlier rows only, never its own row.
# "" is gfil/__init__.py. Inside a folder the imports form no cycle.
LAYERS = (
    ("errors", "wording"),
    ("config", "logs", "prometheus_dir", "timeframes"),
    ("clocks",),
    ("trading_week",),
    ("store",),
    ("ingest", "maintenance"),
    ("migration",),
    ("web",),
    ("server", "client"),
    ("demo",),
    ("bench",),
    ("commands",),
    ("cli",),
    ("", "__main__"),
)

FORBIDDEN_NAMES = {"utils", "util", "helpers", "common", "services", "models", "manager"}
FLASK = {"flask", "werkzeug", "jinja2"}
BODY_OF_FLASK = {"data", "files", "form", "get_data", "get_json", "json", "stream", "values"}
SQL = re.compile(
    r"\bSELECT\s.+\sFROM\s|\bINSERT\s+(OR\s+\w+\s+)?INTO\s|\bUPDATE\s+\w+\s+SET\s"
    r"|\bDELETE\s+FROM\s|\b(CREATE|DROP|ALTER)\s+(TABLE|INDEX|VIEW|TRIGGER)\s|\bPRAGMA\s+\w"
    r"|\bBEGIN\s+(IMMEDIATE|DEFERRED|EXCLUSIVE)\b|\bVACUUM\s+INTO\b",
    re.DOTALL,
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(*folders: str) -> list[Path]:
    found = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [path.relative_to(ROOT) for path in found]


PACKAGE = sources("gfil")
PYTHON = [*PACKAGE, *sources("scripts", "tests"), Path("wsgi.py")]
JAVASCRIPT = [
    path.relative_to(ROOT)
    for path in sorted((ROOT / "static").rglob("*.*js"))
    if "vendor" not in path.parts
]
each_module = pytest.mark.parametrize("path", PACKAGE, ids=str)
each_python_file = pytest.mark.parametrize("path", PYTHON, ids=str)


def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text("utf-8"))


def module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path) for path in PACKAGE}


def imports(path: Path) -> Iterator[str]:
    """Every module the file imports, also inside functions; of a name in a package the module."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                full = f"{module}.{alias.name}"
                yield full if full in MODULES else module


def folder(module: str) -> str:
    """The first name below gfil: `gfil.store.engine.locks` is in `store`."""
    return [*module.split("."), ""][1]


def layer(name: str) -> int:
    places = [number for number, row in enumerate(LAYERS) if name in row]
    assert places, f"gfil/{name} is in no layer: add it to LAYERS in tests/test_layout.py"
    return places[0]


def may_import(importer: str, imported: str) -> bool:
    ours, theirs = folder(importer), folder(imported)
    return ours == theirs or theirs == "" or layer(theirs) < layer(ours)


@each_module
def test_imports_point_down(path: Path) -> None:
    ours = {name for name in imports(path) if name.split(".")[0] == "gfil"}
    wrong = sorted(name for name in ours if not may_import(module_name(path), name))
    assert wrong == [], f"{path} may not import these"


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("gfil.config", "gfil.errors", True),
        ("gfil.errors", "gfil.config", False),
        ("gfil.config", "gfil.timeframes", False),
        ("gfil.store.engine.connection", "gfil.config", True),
        ("gfil.store.engine.connection", "gfil.web.pages.chart", False),
        ("gfil.ingest.importer", "gfil.maintenance.doctor", False),
        ("gfil.migration.migrate", "gfil.ingest.importer", True),
        ("gfil.ingest.importer", "gfil.migration.migrate", False),
        ("gfil.web.pages.chart", "gfil.cli", False),
        ("gfil", "gfil.web.pages.chart", True),
        ("gfil.__main__", "gfil.cli", True),
    ],
)
def test_import_rule_knows_down_from_up(importer: str, imported: str, allowed: bool) -> None:
    assert may_import(importer, imported) is allowed


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of names that import each other, found by removing what imports nothing left."""
    left = {name: targets & graph.keys() - {name} for name, targets in graph.items()}
    while done := {name for name, targets in left.items() if not targets & left.keys()}:
        left = {name: targets for name, targets in left.items() if name not in done}
    return [sorted(left)] if left else []


def room(module: str) -> str:
    """A folder below gfil/X/, or the module itself where it lies flat."""
    return ".".join(module.split(".")[:3])


def test_modules_and_rooms_import_each_other_without_a_cycle() -> None:
    graph: dict[str, set[str]] = {module_name(path): set(imports(path)) for path in PACKAGE}
    assert cycles(graph) == []
    rooms: dict[str, set[str]] = {}
    for importer, imported in graph.items():
        rooms.setdefault(room(importer), set()).update(map(room, imported))
    assert cycles(rooms) == []


def test_cycle_finder_finds_a_cycle() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["a", "b", "c"]]


@each_python_file
def test_no_import_is_relative_and_none_is_the_standard_sqlite3(path: Path) -> None:
    named = set(imports(path))
    assert not {name for name in named if name.startswith(".")}
    assert "sqlite3" not in named, "a second SQLite in the process breaks the first one's locks"


@each_module
def test_flask_stays_under_web(path: Path) -> None:
    if path.parts[:2] != ("gfil", "web") and path != Path("gfil/__init__.py"):
        assert {name.split(".")[0] for name in imports(path)} & FLASK == set()


@each_module
def test_a_body_is_read_where_it_has_a_deadline_and_a_place(path: Path) -> None:
    """Flask's own ways wait for a client for ever: gfil/web/bodies.py reads them all."""
    used = {
        node.attr
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "request"
    }
    assert used & BODY_OF_FLASK == set()


@each_module
def test_sql_stays_under_store(path: Path) -> None:
    if path.parts[:2] == ("gfil", "store"):
        return
    texts = (node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Constant))
    assert [text for text in texts if isinstance(text, str) and SQL.search(text)] == []


@each_python_file
def test_nothing_is_too_long(path: Path) -> None:
    lines = len((ROOT / path).read_text("utf-8").splitlines())
    assert lines <= FILE_LINES_MAX or path.as_posix() in GENERATED
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, Function)]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: n for name, n in lengths.items() if n > FUNCTION_LINES_MAX} == {}


@pytest.mark.parametrize("path", JAVASCRIPT, ids=str)
def test_javascript_file_has_at_most_200_lines(path: Path) -> None:
    assert len((ROOT / path).read_text("utf-8").splitlines()) <= JAVASCRIPT_LINES_MAX


@pytest.mark.parametrize("path", JAVASCRIPT, ids=str)
def test_javascript_file_opens_with_its_purpose(path: Path) -> None:
    first = (ROOT / path).read_text("utf-8").splitlines()[0]
    assert re.match(r"// [A-Z]\S* .{8,}", first), f"first line: {first!r}"


@pytest.mark.parametrize("path", [*PACKAGE, *JAVASCRIPT], ids=str)
def test_a_name_says_what_is_inside(path: Path) -> None:
    assert {part.lower() for part in path.with_suffix("").parts} & FORBIDDEN_NAMES == set()


@each_python_file
def test_a_module_opens_with_one_line_on_its_purpose(path: Path) -> None:
    purpose = (ast.get_docstring(tree(path)) or "").split("\n")[0]
    assert re.fullmatch(r"\S.{8,}[.:?]", purpose), f"first line: {purpose!r}"


def documented(body: list[ast.stmt], public: bool = True) -> Iterator[tuple[str, bool, bool]]:
    """Name, is public, has a docstring: of every class, function and method."""
    for node in body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("__"):
            shown = public and not node.name.startswith("_")
            yield node.name, shown, ast.get_docstring(node) is not None
            if isinstance(node, ast.ClassDef):
                yield from documented(node.body, shown)


@each_module
def test_public_names_have_docstrings_and_private_ones_have_none(path: Path) -> None:
    found = list(documented(tree(path).body))
    assert [name for name, public, explained in found if public and not explained] == []
    private = [name for name, _, explained in found if name.startswith("_") and explained]
    assert private == []
