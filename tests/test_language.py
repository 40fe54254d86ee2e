"""Plain technical English: forms that no text of the project may contain.

The test reads everything that people read: comments, docstrings, strings and test names of Python,
and the whole text of pages, scripts, SQL and documents.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pytest

from gfil.config import ROOT

FOLDERS = ("docs", "gfil", "scripts", "static", "templates", "tests")
FILES = ("CHANGELOG.md", "CONTRIBUTING.md", "README.md", "gfil.env", "pyproject.toml", "wsgi.py")
TEXTS = {".css", ".env", ".html", ".js", ".md", ".mjs", ".sh", ".sql", ".toml", ""}
VERBS = (
    r"(?:is|are|was|were|has|had|have|can|may|must|will|would|comes?|came|goes|went|breaks?|broke"
    r"|happens?|fails?|sends?|sent|ends?|makes?|made|needs?|wants?|reads?|writes?)"
)
START = r"(?:^|[.:;!?] +)"  # of a sentence

BANNED = {
    "anew": r"\banew\b",
    "whoever": r"\bwho(?:so)?ever\b",
    "whatever, as a subject": rf"{START}Whatever\b|\bwhatever {VERBS}\b",
    "whichever, as a subject": rf"{START}Whichever\b|\bwhichever {VERBS}\b",
    "whose, as a subject": rf"{START}Whose\b(?![^.]*\?)",
    "is none": r"\b(?:is|are|was|were) none\b",
    "so many": r"\bso many\b",
    "give back": r"\b(?:gives?|gave|giving) back\b",
    "is told": r"\b(?:is|are|was|were) told\b",
    "whomever": r"\bwhomever\b",
    "nobody that": r"\bnobody that\b",
    "begin with": r"\bBegin with\b",
    "1 with a plural": r"(?<![\w.,:-])1 (?:symbols|gaps|rows|candles|files|days)\b",
    "for, meaning because": r", for (?:it|they|there|nobody|nothing|otherwise|hardly|we|he|she)\b",
    "a sentence of the style guide": "|".join(
        (
            r"Who was cut off is told",
            r"What starts here or later",
            r"The newest candles of a chart, remembered",
            r"A worker of gunicorn whose threads wait",
            r"Whose; without it of every symbol",
            r"So many in the folder",
            r"Nothing comes of ",
            r"Begin with nobody",
        )
    ),
}
PATTERNS = {name: re.compile(pattern) for name, pattern in BANNED.items()}
RIDDLE = re.compile(r"(?:What|Who|Whatever|Whoever|Whichever|Whose)\b(?![^.]*\?)")
BLANKS = re.compile(r"\s+")
COMMENTS = {
    ".css": re.compile(r"/\*(.*?)\*/", re.DOTALL),
    ".html": re.compile(r"\{#(.*?)#\}|<!--(.*?)-->", re.DOTALL),
    ".js": re.compile(r"/\*((?:.|\n)*?)\*/|(?<![:\"'`\w])//(.*)"),
    ".sql": re.compile(r"--(.*)"),
    ".sh": re.compile(r"(?:^|\s)#(.*)", re.MULTILINE),
}


class Text(NamedTuple):
    """A piece of prose, and the line of its file; `opens` where it is a comment or a docstring."""

    line: int
    words: str
    opens: bool


def list_files() -> list[Path]:
    """Return every file that holds prose, relative to the root; this one is left out."""
    found = [ROOT / name for name in FILES]
    for folder in FOLDERS:
        found += sorted((ROOT / folder).rglob("*"))
    return [
        path.relative_to(ROOT)
        for path in found
        if path.is_file()
        and path.suffix in {*TEXTS, ".py"}
        and not {"vendor", "data", "__pycache__"} & set(path.parts)
        and path != Path(__file__)
    ]


def read_python(source: str) -> Iterator[Text]:
    """Yield comments, joined where they follow one another, all strings, and names of tests."""
    comments: list[tuple[int, int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            comments.append((row, column, token.string.lstrip("#!: ")))
    for _, block in groupby(enumerate(comments), lambda item: (item[1][0] - item[0], item[1][1])):
        rows = [comment for _, comment in block]
        yield Text(rows[0][0], " ".join(words for _, _, words in rows), opens=True)
    tree = ast.parse(source)
    docstrings = {id(node) for node in find_docstrings(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield Text(node.lineno, node.value, opens=id(node) in docstrings)
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            name = node.name.removeprefix("test_").replace("_", " ")
            yield Text(node.lineno, name[:1].upper() + name[1:], opens=True)


def find_docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the docstrings of a module, its classes and its functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


def read_text(source: str, suffix: str) -> Iterator[Text]:
    """Yield the paragraphs of a text, and its comments."""
    line = 1
    for paragraph in re.split(r"(\n\s*\n)", source):
        yield Text(line, re.sub(r"^\s*(?:--|//|\*|#)", "", paragraph, flags=re.M), opens=False)
        line += paragraph.count("\n")
    for match in COMMENTS[suffix].finditer(source) if suffix in COMMENTS else ():
        words = next(filter(None, match.groups()), "").lstrip("* \n")
        yield Text(source.count("\n", 0, match.start()) + 1, words, opens=True)


def find_banned(text: Text) -> list[str]:
    """Return the banned forms in a piece of prose, each with the words around it."""
    words = BLANKS.sub(" ", text.words).strip()
    matches = [(name, pattern.search(words)) for name, pattern in PATTERNS.items()]
    if text.opens:
        matches.append(("a comment, docstring or test name that asks", RIDDLE.match(words)))
    return [
        f"{name}: …{words[max(0, match.start() - 40) : match.end() + 40]}…"
        for name, match in matches
        if match
    ]


def list_offenders(path: Path) -> list[str]:
    """Return each banned form of a file with its line."""
    source = (ROOT / path).read_text("utf-8")
    pieces = read_python(source) if path.suffix == ".py" else read_text(source, path.suffix)
    return [f"{path}:{text.line}: {found}" for text in pieces for found in find_banned(text)]


@pytest.mark.parametrize("path", list_files(), ids=str)
def test_file_is_written_in_plain_words(path: Path) -> None:
    offenders = list_offenders(path)
    assert offenders == [], "\n" + "\n".join(offenders)


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("Read the page again.", 0),
        ("The page is read anew.", 1),
        ("Whoever sends it waits.", 1),
        ("The worker ends, whatever the client does.", 0),
        ("The worker takes whatever comes.", 1),
        ("Keep it. Whose rows are these?", 0),
        ("Keep it. Whose rows are late, is asked.", 1),
        ("The row whose time is later wins.", 0),
        ("Where there is none, the default applies.", 1),
        ("The oldest so\n   many rows go.", 1),
        ("It gives back the connection.", 1),
        ("The client is told of it.", 1),
        ("1 symbols, 1 gaps", 1),
        ("M1 candles, 0.1 days, 21 files", 0),
        ("It waits, for nobody else can write.", 1),
        ("It waits, for example, for the lock.", 0),
        ("What was stored before stays.", 1),
        ("What is a gap?", 0),
        ("Who vanishes is forgotten.", 1),
        ("Nothing comes of XAUUSD.", 1),
    ],
)
def test_banned_forms_are_told_from_plain_ones(words: str, count: int) -> None:
    assert len(find_banned(Text(1, words, opens=True))) == count


def test_comments_strings_and_test_names_of_python_are_read() -> None:
    source = '''"""Plain."""
x = f"it is told {1}"  # so
# many

def test_whoever_comes():
    """What comes."""
'''
    found = [(text.line, find_banned(text)) for text in read_python(source) if find_banned(text)]
    assert {line for line, _ in found} == {2, 5, 6}
    assert [text.words for text in read_python("# one\n# two\n")] == ["one two"]
