"""Tests of gfil/logs.py: the form of the lines, and secrets."""

import logging
import sys

import orjson
import pytest

from gfil import logs

SECRET = "gfil_abcdefgh_" + "S3cr-t_" * 6 + "x"


def line_of(record: logging.LogRecord) -> dict[str, object]:
    text = logs.JsonLines().format(record)
    assert "\n" not in text
    found: dict[str, object] = orjson.loads(text)
    assert found.pop("time") == "2023-11-15T00:00:00.250Z"
    return found


def record(message: str, *args: object, name: str = "gfil", **extra: object) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, "/x/failstop.py", 1, message, args, None)
    made.created = 1_700_006_400.25
    made.__dict__.update(extra)
    return made


def test_event_is_one_object_with_its_facts() -> None:
    facts = {"status": 503, "ms": 1.5, "refused": {"future": 2}}
    assert line_of(record("x", event="request", facts=facts)) == {
        "level": "warning",
        "event": "request",
        **facts,
    }


@pytest.mark.parametrize(
    ("name", "event"), [("gfil", "failstop"), ("gunicorn.error", "gunicorn"), ("py", "failstop")]
)
def test_other_message_is_a_detail(name: str, event: str) -> None:
    found = line_of(record("the disk of %s\nfailed", "a.db", name=name))
    assert found == {"level": "warning", "event": event, "detail": "the disk of a.db\nfailed"}


def test_traceback_is_part_of_the_line() -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError:
        found = line_of(record("it failed", exc_info=sys.exc_info()))
    traceback = str(found.pop("traceback"))
    assert traceback.startswith("Traceback (most recent call last):\n")
    assert traceback.endswith("ValueError: broken\nin two")
    assert found == {"level": "warning", "event": "failstop", "detail": "it failed"}


def test_long_traceback_keeps_its_end() -> None:
    try:
        raise ValueError("x" * 100_000)
    except ValueError:
        found = line_of(record("it failed", exc_info=sys.exc_info()))
    assert len(str(found["traceback"])) == logs.TEXT_LENGTH_MAX


@pytest.mark.parametrize(
    "text", [SECRET, f"/api/{SECRET}?x", f"a {SECRET}\n{SECRET}", f'{{"key":"{SECRET}"}}']
)
def test_lines_contain_no_secret(text: str, caplog: pytest.LogCaptureFixture) -> None:
    """The id of a key is no secret and stays."""
    for made in (record(text), record("%s", text), record("x", event="e", facts={"a": text})):
        line = orjson.dumps(line_of(made)).decode()
        assert "S3cr-t_" not in line
        assert "gfil_abcdefgh_" in line
    logs.log_event(logging.ERROR, "event", ValueError(text), detail=text)
    assert "S3cr-t_" not in caplog.records[-1].getMessage()


@pytest.mark.parametrize("text", ["\ud800", "\x00\x1b[31m", "\u2028", "‮", '"}{"a":"b', "%s %d"])
def test_text_of_a_client_stays_one_line_of_json(text: str) -> None:
    found = line_of(record("x", event="request", facts={"path": text}))
    assert found["path"] == text.replace("\ud800", "?")


def test_line_without_a_server_is_plain_text(caplog: pytest.LogCaptureFixture) -> None:
    logs.log_event(logging.WARNING, "request", status=401, path="/x%s", key=None)
    assert caplog.records[-1].getMessage() == "request status=401 path=/x%s"
