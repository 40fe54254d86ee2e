"""The README's tables against the program: settings, commands, routes, metrics, the map.

`python -m tests.test_docs` writes them anew.
"""

import ast
import re
from collections.abc import Callable

import click
import pytest

from gfil import create_app
from gfil.cli import cli
from gfil.config import ROOT, SETTINGS, read
from gfil.web.request import metrics

README = ROOT / "README.md"
UNLISTED_METHODS = {"HEAD", "OPTIONS"}


def table(*rows: tuple[str, ...]) -> str:
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def settings_table() -> str:
    rows = [
        (f"`{setting.name}`", f"`{setting.default}`" if setting.default else "", setting.sentence)
        for setting in SETTINGS
    ]
    return table(("setting", "default", "what"), *rows)


def spelled(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return parameter.make_metavar(click.Context(cli))
    name = max(parameter.opts, key=len)
    if isinstance(parameter, click.Option) and not parameter.is_flag:
        name += " " + parameter.make_metavar(click.Context(cli))
    return name if parameter.required else f"[{name}]"


def commands(group: click.Group = cli, path: str = "") -> list[tuple[str, str]]:
    rows = []
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            rows += commands(command, f"{path}{name} ")
        elif not command.hidden:
            usage = " ".join([path + name, *map(spelled, command.params)])
            sentence = (command.help or "").split("\n\n")[0].replace("\n", " ")
            rows.append((f"`{usage}`".replace("|", "\\|"), sentence))
    return rows


def commands_table() -> str:
    return table(("command", "does"), *commands())


def routes_table() -> str:
    app = create_app(read({}, ROOT / "nowhere"))
    rows = []
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        sentence = (view.__doc__ or "").split("\n\n")[0]
        for method in sorted((rule.methods or set()) - UNLISTED_METHODS):
            rows.append(
                (f"`{method} {rule.rule}`", getattr(view, "scope", ""), " ".join(sentence.split()))
            )
    return table(("route", "scope", "what"), *sorted(rows, key=lambda row: row[0].split(" ")[::-1]))


def metrics_table() -> str:
    rows = [
        (f"`{name}`", kind, " ".join(f"`{label}`" for label in labels), sentence)
        for name, kind, labels, sentence in metrics.describe()
    ]
    return table(("metric", "type", "labels", "what"), *rows)


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


BLOCKS: dict[str, Callable[[], str]] = {
    "map": module_map,
    "commands": commands_table,
    "routes": routes_table,
    "settings": settings_table,
    "metrics": metrics_table,
}


def block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- {name} -->\n\n).*?(?=\n\n<!-- /{name} -->)", re.DOTALL)


@pytest.mark.parametrize("name", BLOCKS)
def test_the_readme_tells_what_the_program_has(name: str) -> None:
    found = block(name).search(README.read_text("utf-8"))
    assert found, f"README.md has no block <!-- {name} -->"
    assert found[0].splitlines() == BLOCKS[name]().splitlines(), (
        "`.venv/bin/python -m tests.test_docs` writes the README's tables anew"
    )


@pytest.mark.parametrize(("usage", "sentence"), commands())
def test_every_command_says_what_it_does(usage: str, sentence: str) -> None:
    assert sentence.endswith("."), usage


def test_every_option_has_a_help_text() -> None:
    def options(group: click.Group) -> list[tuple[str, str | None]]:
        found = []
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                found += options(command)
            of_it = (each for each in command.params if isinstance(each, click.Option))
            found += [(f"{name} {option.opts[-1]}", option.help) for option in of_it]
        return found

    assert [name for name, text in options(cli) if not text] == []


def test_every_setting_is_one_sentence() -> None:
    for setting in SETTINGS:
        assert re.fullmatch(r"[A-Z].*\.", setting.sentence), setting.name


def test_every_metric_has_a_name_of_its_own_and_a_sentence() -> None:
    described = metrics.describe()
    assert len({name for name, *_ in described}) == len(described) >= 10
    for name, kind, labels, sentence in described:
        assert re.fullmatch(r"gfil_[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter")
        assert kind != "histogram" or name.endswith("_seconds")
        assert all(label.islower() for label in labels)
        assert re.fullmatch(r"[A-Z].*\.", sentence), name


def test_the_readme_names_no_file_that_is_not_there() -> None:
    text = README.read_text("utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)\)", text)
    scripts = re.findall(r"\bscripts/[\w.]+", text)
    assert [name for name in (*links, *scripts) if not (ROOT / name).exists()] == []


def _write() -> None:
    text = README.read_text("utf-8")
    for name, make in BLOCKS.items():
        made = make()
        text = block(name).sub(lambda _, made=made: made, text)
    README.write_text(text, "utf-8")


if __name__ == "__main__":
    _write()
