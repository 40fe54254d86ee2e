"""Joins the modules of scripts/pump/ into scripts/mt5_pump.py: `python scripts/build_pump.py`.

A trader copies one file; the modules keep one subject each. With `--check` the program writes
nothing and fails if the file is out of date.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "pump"
TARGET = SOURCE.parent / "mt5_pump.py"
PACKAGE = "scripts.pump"
RULE = "-" * 98
HEADER = '''"""Send ticks and candles from a MetaTrader 5 terminal to GFIL.

One file for the Windows machine of the terminal. It needs Python 3.11 or newer and
`pip install MetaTrader5 tzdata`; `python mt5_pump.py --help` shows how to use it.

GENERATED from scripts/pump/ by `python scripts/build_pump.py`: edit the modules there.
"""
'''
FOOTER = """
if __name__ == "__main__":
    main()
"""


def build(source: Path = SOURCE) -> str:
    """Return the pump as one file: the imports, then each module below those that it imports."""
    paths = sorted(path for path in source.glob("*.py") if path.stem != "__init__")
    texts = {path.stem: path.read_text("utf-8") for path in paths}
    trees = {name: ast.parse(text) for name, text in texts.items()}
    _refuse_conflicts(trees)
    sections = [_section(name, texts[name], trees[name]) for name in _in_import_order(trees)]
    imports = "\n".join(_merged_imports(trees))
    return "\n".join([HEADER, imports, "", *sections]) + FOOTER


def _refuse_conflicts(trees: dict[str, ast.Module]) -> None:
    owners: dict[str, str] = {}
    for tree in trees.values():
        for _, alias in _outside_imports(tree):
            owners[alias.name.split(".")[0]] = "an import"
    for module, tree in trees.items():
        for name in _defined_names(tree):
            if name in owners:
                raise SystemExit(f"build_pump: {owners[name]} and {module} both define {name}")
            owners[name] = module


def _defined_names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def _in_import_order(trees: dict[str, ast.Module]) -> Iterator[str]:
    waiting = {name: _imported_modules(tree) for name, tree in trees.items()}
    while waiting:
        ready = [name for name, imported in waiting.items() if not imported & waiting.keys()]
        if not ready:
            raise SystemExit(f"build_pump: these modules import each other: {sorted(waiting)}")
        yield from ready
        for name in ready:
            del waiting[name]


def _imported_modules(tree: ast.Module) -> set[str]:
    nodes = (node for node in tree.body if _is_own_import(node))
    return {(getattr(node, "module", "") or "").rpartition(".")[2] for node in nodes}


def _is_own_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE)


def _outside_imports(tree: ast.Module) -> Iterator[tuple[str, ast.alias]]:
    # Yields the module (blank for `import NAME`) and the name of each import of another package.
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom) and not _is_own_import(node):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                if alias.asname:
                    raise SystemExit(f"build_pump: import {alias.name} under its own name")
                yield module, alias


def _merged_imports(trees: dict[str, ast.Module]) -> list[str]:
    names_of: dict[str, set[str]] = {}
    for tree in trees.values():
        for module, alias in _outside_imports(tree):
            names_of.setdefault(module, set()).add(alias.name)
    lines = [f"import {name}" for name in sorted(names_of.pop("", ()))]
    for module, names in sorted(names_of.items()):
        constants_first = sorted(names, key=lambda name: (not name.isupper(), name))
        lines.append(f"from {module} import {', '.join(constants_first)}")
    return lines


def _section(name: str, text: str, tree: ast.Module) -> str:
    docstring = ast.get_docstring(tree) or ""
    comment = [RULE, f"scripts/pump/{name}.py", *docstring.splitlines()]
    head = "\n".join(f"# {line}".rstrip() for line in comment)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    last_of_head = imports[-1] if imports else tree.body[0]
    body = "\n".join(text.splitlines()[last_of_head.end_lineno :]).strip("\n")
    blank_lines = 2 if body.startswith(("def ", "class ", "@")) else 1
    return head + "\n" * (blank_lines + 1) + body + "\n\n"


def main() -> int:
    """Write the file, or compare it with `--check`; return the exit status."""
    text = build()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text, "utf-8", newline="\n")
        return 0
    if TARGET.exists() and TARGET.read_text("utf-8") == text:
        return 0
    print("mt5_pump.py is out of date: run python scripts/build_pump.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
