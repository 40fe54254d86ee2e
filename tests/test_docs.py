"""The documents against the program: generated tables, links, anchors, file names, command lines.

`.venv/bin/python -m tests.test_docs` writes the generated tables.
"""

import ast
import contextlib
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from gfil import create_app
from gfil.cli import cli
from gfil.config import ROOT, SETTINGS, read
from gfil.web.api import metrics
from tests.pump.options_table import pump_options

README = ROOT / "README.md"
README_LINES_MAX = 250
DOCS = ROOT / "docs"
DOCUMENTS = (README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md")))
UNLISTED_METHODS = {"HEAD", "OPTIONS"}
VARIABLES_NO_SETTINGS = {"GFIL_KEY", "GFIL_SEED", "GFIL_LONG"}

each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)


# Generated tables


def table(*rows: tuple[str, ...]) -> str:
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def settings_table() -> str:
    rows = [
        (f"`{setting.name}`", f"`{setting.default}`" if setting.default else "", setting.sentence)
        for setting in SETTINGS
    ]
    return table(("setting", "default", "meaning"), *rows)


def spell_parameter(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return parameter.make_metavar(click.Context(cli))
    name = max(parameter.opts, key=len)
    if isinstance(parameter, click.Option) and not parameter.is_flag:
        name += " " + parameter.make_metavar(click.Context(cli))
    return name if parameter.required else f"[{name}]"


def walk_commands(group: click.Group = cli, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from walk_commands(command, f"{path}{name} ")
        elif not command.hidden:
            yield path + name, command


COMMANDS = dict(walk_commands())


def describe_command(name: str) -> tuple[str, str]:
    command = COMMANDS[name]
    usage = " ".join([name, *map(spell_parameter, command.params)])
    sentence = (command.help or "").split("\n\n")[0].replace("\n", " ")
    return f"`{usage}`".replace("|", "\\|"), sentence


def commands_table() -> str:
    return table(("command", "does"), *map(describe_command, COMMANDS))


def routes_table() -> str:
    app = create_app(read({}, ROOT / "nowhere"))
    rows = []
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        sentence = (view.__doc__ or "").split("\n\n")[0]
        for method in sorted((rule.methods or set()) - UNLISTED_METHODS):
            declared = view.route  # type: ignore[attr-defined]
            rows.append((f"`{method} {rule.rule}`", declared.scope, " ".join(sentence.split())))
    return table(("route", "scope", "does"), *sorted(rows, key=lambda row: row[0].split(" ")[::-1]))


def openapi() -> dict[str, Any]:
    app = create_app(read({}, ROOT / "nowhere"))
    document: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    return document


def resolve(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: Any = document
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return resolve(document, found)


def describe_values(document: dict[str, Any], schema: dict[str, Any]) -> str:
    schema = resolve(document, schema)
    if "enum" in schema:
        return " ".join(f"`{value}`" for value in schema["enum"])
    text = ""
    if "minimum" in schema and "maximum" in schema and schema["maximum"] < 10**9:
        text = f"{schema['minimum']:,} to {schema['maximum']:,}"
    if "default" in schema:
        value = schema["default"]
        shown = f"{value:,}" if isinstance(value, int) else f"`{value}`"
        text = f"{text}, default {shown}".removeprefix(", ")
    return text


def parameters_table() -> str:
    document = openapi()
    rows = []
    for path, operations in sorted(document["paths"].items()):
        for method, operation in sorted(operations.items()):
            for given in operation.get("parameters", ()):
                parameter = resolve(document, given)
                name = f"`{parameter['name']}`" + (
                    " (required)" if parameter.get("required") else ""
                )
                if parameter["in"] == "header":
                    name += " (header)"
                values = describe_values(document, parameter.get("schema", {}))
                route = f"`{method.upper()} {path}`"
                rows.append((route, name, values, parameter.get("description", "")))
    return table(("route", "parameter", "values", "meaning"), *rows)


def metrics_table() -> str:
    rows = [
        (f"`{name}`", kind, " ".join(f"`{label}`" for label in labels), sentence)
        for name, kind, labels, sentence in metrics.describe()
    ]
    return table(("metric", "type", "labels", "meaning"), *rows)


def module_map() -> str:
    paths = sorted((ROOT / "gfil").rglob("*.py"), key=lambda path: (path.parent, path.name))
    purposes = {}
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        if path.name == "__init__.py" and path.parent != ROOT / "gfil":
            name = name.removesuffix("__init__.py")
        docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        purposes[name] = docstring.split("\n")[0].rstrip(".:")
    width = max(map(len, purposes))
    lines = (f"{name:{width}}  {purpose}".rstrip() for name, purpose in purposes.items())
    return "\n".join(["```", *lines, "```"])


BLOCKS: dict[str, tuple[Path, Callable[[], str]]] = {
    "map": (DOCS / "architecture.md", module_map),
    "commands": (DOCS / "operating.md", commands_table),
    "settings": (DOCS / "operating.md", settings_table),
    "metrics": (DOCS / "operating.md", metrics_table),
    "routes": (DOCS / "http.md", routes_table),
    "parameters": (DOCS / "http.md", parameters_table),
    "pump-options": (DOCS / "mt5.md", lambda: table(*pump_options())),
}


def block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- {name} -->\n\n).*?(?=\n\n<!-- /{name} -->)", re.DOTALL)


@pytest.mark.parametrize("name", BLOCKS)
def test_generated_table_equals_the_program(name: str) -> None:
    path, make = BLOCKS[name]
    found = block(name).search(path.read_text("utf-8"))
    assert found, f"{path.name} has no block <!-- {name} -->"
    assert found[0].splitlines() == make().splitlines(), (
        "`.venv/bin/python -m tests.test_docs` writes the generated tables"
    )


# Sources of the tables


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_sentence(name: str) -> None:
    assert describe_command(name)[1].endswith(".")


def test_every_option_has_a_help_text() -> None:
    options = [
        (f"{name} {option.opts[-1]}", option.help)
        for name, command in COMMANDS.items()
        for option in command.params
        if isinstance(option, click.Option)
    ]
    assert [name for name, text in options if not text] == []


def test_every_setting_is_described_in_one_sentence() -> None:
    for setting in SETTINGS:
        assert re.fullmatch(r"[A-Z].*\.", setting.sentence), setting.name


def test_every_metric_has_a_unique_name_and_a_sentence() -> None:
    described = metrics.describe()
    assert len({name for name, *_ in described}) == len(described) >= 10
    for name, kind, labels, sentence in described:
        assert re.fullmatch(r"gfil_[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter")
        assert kind != "histogram" or name.endswith("_seconds")
        assert all(label.islower() for label in labels)
        assert re.fullmatch(r"[A-Z].*\.", sentence), name


# Documents


def prose(path: Path) -> str:
    """The text of a document without its code blocks."""
    return re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def code_lines(path: Path) -> list[str]:
    """The lines of a document's code blocks; a line that ends in a backslash is joined."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [line for text in blocks for line in text.replace("\\\n", " ").splitlines()]


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a document."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?) *$", prose(path), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.replace("`", "")).strip().lower()
        anchor, number = plain.replace(" ", "-"), 0
        while (name := f"{anchor}-{number}" if number else anchor) in found:
            number += 1
        found.add(name)
    return found


def links(path: Path) -> list[tuple[Path, str]]:
    """The files and anchors that a document links to inside the repository."""
    found = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)", prose(path))
    return [((path.parent / name) if name else path, anchor) for name, anchor in found]


def test_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= README_LINES_MAX


def test_readme_links_to_every_document() -> None:
    linked = {target.resolve() for target, _ in links(README)}
    assert [path.name for path in DOCUMENTS[1:] if path.resolve() not in linked] == []


@each_document
def test_links_lead_to_files_and_headings(path: Path) -> None:
    for target, anchor in links(path):
        assert target.exists(), f"{path.name} links to {target}"
        assert not anchor or anchor in anchors(target), f"{path.name}: {target.name}#{anchor}"


@each_document
def test_named_files_exist(path: Path) -> None:
    named = re.findall(
        r"(?<![\w/.-])(?:gfil|scripts|static|templates|tests|docs|\.ci)/[\w./@-]*\w",
        path.read_text("utf-8"),
    )
    assert sorted({name for name in named if not (ROOT / name).exists()}) == []


@each_document
def test_named_modules_and_tests_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    modules = {name.replace(".", "/") for name in re.findall(r"\bpython:(gfil[.\w]+\w)", text)}
    assert [name for name in modules if not (ROOT / f"{name}.py").exists()] == []
    tests = {file.stem for file in (ROOT / "tests").rglob("test_*.py")}
    assert set(re.findall(r"(?<=`)test_\w+(?=`)", text)) <= tests


def shown_commands(path: Path) -> Iterator[str]:
    """The arguments of each `scripts/gfil` in a code block, without what a shell does with them."""
    for line in code_lines(path):
        found = re.search(r"scripts/gfil (?!COMMAND)([^#|>)]+)", line)
        if found and "=$(" not in line[: found.start()]:
            yield found[1].removesuffix("\\").strip()
        elif found:
            yield found[1].partition(")")[0].strip()


def parse_command(words: list[str]) -> None:
    """Parse the arguments of `gfil` as the program does, without running anything."""
    command: click.Command = cli
    context = click.Context(cli, info_name="gfil")
    while isinstance(command, click.Group):
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        command, context = found, click.Context(found, context)
    with contextlib.suppress(click.exceptions.Exit):  # --help
        command.make_context(command.name, words, parent=context.parent)


@each_document
def test_shown_commands_are_valid(path: Path) -> None:
    for arguments in shown_commands(path):
        words = shlex.split(arguments)
        if words[0] != "replay":  # it wants its files to exist
            try:
                parse_command(words)
            except click.UsageError as error:
                pytest.fail(f"{path.name}: {arguments}: {error.format_message()}")


@each_document
def test_named_commands_are_valid(path: Path) -> None:
    for arguments in re.findall(r"`(?:scripts/)?gfil ([a-z][^`|…]*)`", prose(path)):
        try:
            parse_command(shlex.split(arguments))
        except click.MissingParameter:
            pass  # prose may leave out what the reader has to fill in
        except click.UsageError as error:
            pytest.fail(f"{path.name}: {arguments}: {error.format_message()}")


def test_documents_show_the_main_commands() -> None:
    shown = {" ".join(each.split()[:2]) for path in DOCUMENTS for each in shown_commands(path)}
    named = {name for name in COMMANDS if any(f"{each} ".startswith(f"{name} ") for each in shown)}
    assert named >= set(COMMANDS) - {"serve", "symbol delete", "gaps", "stats"}


@each_document
def test_named_variables_are_settings(path: Path) -> None:
    named = set(re.findall(r"\bGFIL_[A-Z_]+\b", path.read_text("utf-8")))
    assert named <= {setting.name for setting in SETTINGS} | VARIABLES_NO_SETTINGS


@each_document
def test_large_numbers_have_commas(path: Path) -> None:
    text = re.sub(r"`[^`]*`", "", prose(path))
    assert re.findall(r"(?<![\d.,-])\d{1,3}(?: \d{3})+(?![\d-])", text) == []


# Refusals


def refusal_codes() -> set[str]:
    """The codes that the import gives to a refused row, as far as calls name them."""
    found: set[str] = set()
    for path in (ROOT / "gfil" / "ingest").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            function = node.func
            name = getattr(function, "id", getattr(function, "attr", ""))
            if name == "BadRow" or name.lstrip("_").startswith("refuse"):
                texts = (arg.value for arg in node.args if isinstance(arg, ast.Constant))
                found |= {text for text in texts if re.fullmatch(r"[a-z_]+", str(text))}
    return found


def documented_codes() -> list[str]:
    text = (DOCS / "importing.md").read_text("utf-8")
    section = text.partition("\n## Refused rows\n")[2].partition("\n## ")[0]
    return re.findall(r"^### `([a-z_]+)`$", section, re.MULTILINE)


def test_every_refusal_code_has_a_paragraph() -> None:
    assert refusal_codes() >= {"truncated", "not_a_number", "no_earlier_value"}
    assert refusal_codes() - set(documented_codes()) == set()


def test_every_documented_refusal_code_occurs_in_the_program() -> None:
    sources = [path.read_text("utf-8") for path in (ROOT / "gfil").rglob("*.py")]
    documented = documented_codes()
    assert len(documented) >= 16
    assert [code for code in documented if not any(f'"{code}"' in text for text in sources)] == []


def write_blocks() -> None:
    for name, (path, make) in BLOCKS.items():
        made = make()
        text = block(name).sub(lambda _, made=made: made, path.read_text("utf-8"))
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    write_blocks()
