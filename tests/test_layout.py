"""The house rules: what may import what, how long things may be, where SQL and Flask may stand."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gfil.config import ROOT

FUNCTION_LINES_MAX = 50
FILE_LINES_MAX = {"scripts/mt5_pump.py": 730}  # it is handed out as one file
FILE_LINES_USUAL_MAX = 400
JAVASCRIPT_LINES_MAX = 200

# A module of gfil/ may import what stands in a row above its own. "" is gfil/__init__.py.
LAYERS = (
    ("errors",),
    ("config", "counting", "logs", "timeframes"),
    ("clocks", "posting"),
    ("market_week",),
    ("store",),
    ("ingest", "upkeep"),
    ("demo", "replay"),
    ("feed",),
    ("web", "worker"),
    ("serve",),
    ("bench",),
    ("commands",),
    ("cli",),
    ("", "__main__"),
)
# Inside a package a module may import those before it in this row; one not named here any of the
# row. Everything else two modules share lies one layer down.
INSIDE = {
    "gfil.bench": ("figures", "market", "place", "processes", "load", "watching", "page", "report"),
    "gfil.ingest": (
        *(
            "table",
            "moments",
            "milliseconds",
            "numbers",
            "layout",
            "pieces",
            "lines",
            "delimited",
            "splitter",
        ),
        *("elements", "head", "header", "jsonhead", "formats", "spacing", "names", "placing"),
        *("groups", "report", "storing", "batches", "prepared", "importer", "files", "export"),
        *("marks", "legacy", "verifying", "moved", "migration", "looking"),
    ),
    "gfil.ingest.formats": ("json_rows",),
    "gfil.upkeep": ("disk", "host"),
    "gfil.web": (
        *("metrics", "viewers", "topics", "live", "bodies", "requests", "uploads", "schemas"),
        *("quotes", "verdict", "missing", "pages"),
    ),
    "gfil.store": (
        "cursors",
        "copies",
        "db",
        "failstop",
        "pool",
        "changes",
        "symbols",
        "rollup",
        "chain",
        "coverage",
        "ondemand",
        "retention",
        "ticks",
        "candles",
        "newest",
    ),
}

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


def layer(name: str) -> int:
    places = [number for number, row in enumerate(LAYERS) if name in row]
    assert places, f"gfil/{name} stands in no layer: give it one in tests/test_layout.py"
    return places[0]


def may_import(importer: str, imported: str) -> bool:
    ours, theirs = importer.split("."), imported.split(".")
    depth = next((at for at, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
    if depth is None and len(theirs) > 1:
        return True  # a package's own __init__ and what is in it
    if depth is None or depth == 1:
        return layer(".".join(theirs[1:2])) < layer(".".join(ours[1:2]))
    row = INSIDE.get(".".join(ours[:depth]), ())
    mine, other = ours[depth], theirs[depth]
    return other in row and (mine not in row or row.index(other) < row.index(mine))


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
        ("gfil.store.db", "gfil.config", True),
        ("gfil.store.candles", "gfil.store.db", True),
        ("gfil.store.db", "gfil.store.candles", False),
        ("gfil.store.newcomer", "gfil.store.candles", True),
        ("gfil.store.candles", "gfil.store.newcomer", False),
        ("gfil.store.db", "gfil.web.pages", False),
        ("gfil.store", "gfil.store.db", True),
        ("gfil.store.db", "gfil.store", True),
        ("gfil.ingest.importer", "gfil.upkeep.doctor", False),
        ("gfil.ingest.importer", "gfil.store.candles", True),
        ("gfil.web.pages", "gfil.cli", False),
        ("gfil.web.pages", "gfil", False),
        ("gfil.cli", "gfil.serve", True),
        ("gfil", "gfil.web.pages", True),
        ("gfil.__main__", "gfil.cli", True),
    ],
)
def test_the_rule_of_imports_tells_down_from_up(
    importer: str, imported: str, allowed: bool
) -> None:
    assert may_import(importer, imported) is allowed


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
    assert lines <= FILE_LINES_MAX.get(path.as_posix(), FILE_LINES_USUAL_MAX)
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, Function)]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: n for name, n in lengths.items() if n > FUNCTION_LINES_MAX} == {}


@pytest.mark.parametrize("path", JAVASCRIPT, ids=str)
def test_javascript_file_has_at_most_200_lines(path: Path) -> None:
    assert len((ROOT / path).read_text("utf-8").splitlines()) <= JAVASCRIPT_LINES_MAX


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
def test_what_is_public_is_explained_and_what_is_private_explains_itself(path: Path) -> None:
    found = list(documented(tree(path).body))
    assert [name for name, public, explained in found if public and not explained] == []
    private = [name for name, _, explained in found if name.startswith("_") and explained]
    assert private == []
