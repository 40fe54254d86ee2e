"""Tests of gfil/commands/replay.py against a real server."""

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from gfil.config import ROOT
from gfil.store import api_keys
from gfil.store.engine import connection
from tests import faulty_proxy
from tests.conftest import Server, clean_environment, wait_for
from tests.faulty_proxy import HANG_UP, LOSE, PASS

SAMPLES = ROOT / "tests/data"
CSV, MT5 = SAMPLES / "TESTFX_ticks.csv", SAMPLES / "TESTFX_ticks_mt5.csv"
FIRST_MSC = 1709251200040
OLD = (
    "1 day older than the retention, 2024-03-01 to 2024-03-01: "
    "kept as imported until `gfil prune --imported`"
)
GFIL = [sys.executable, "-P", "-m", "gfil"]


@pytest.fixture(scope="module")
def running(server: Callable[..., Server]) -> Server:
    return server(GFIL_WORKERS="1")


def make_key(path: Path, scope: str = "write") -> str:
    db = connection.connect(path)
    with connection.transaction(db):
        _, secret = api_keys.create(db, "test", scope, now=int(time.time()))
    db.close()
    return secret


@pytest.fixture
def key_file(running: Server, tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(make_key(running.db) + "\n")
    return path


def gfil(*arguments: Any, **environment: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [*GFIL, *map(str, arguments)],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def start(*arguments: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*GFIL, "replay", *map(str, arguments)],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ticks(running: Server, symbol: str) -> list[list[float]]:
    answer = running.get(f"/api/v1/ticks?symbol={symbol}&from=0&limit=100000")
    found: list[list[float]] = orjson.loads(answer.body).get("ticks", [])
    return found


def many(folder: Path, count: int, each_msc: int = 10) -> tuple[Path, list[list[float]]]:
    """File of ticks, and the rows a server has after all of them."""
    path = folder / "MANY_ticks.csv"
    rows = [[FIRST_MSC + at * each_msc, 1 + at / 1e5, 2 + at / 1e5, 0, 0, 6] for at in range(count)]
    lines = ["time_msc,bid,ask,last,volume,flags", *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines))
    return path, rows


def test_replay_posts_a_file_and_reports_as_import_does(running: Server, key_file: Path) -> None:
    words = ("replay", CSV, "--url", running.url, "--key-file", key_file, "--speed", "1000")
    head = f"{CSV}: TESTFX, ticks, clock UTC, 2024-03-01T00:00:00Z to 2024-03-01T00:01:01Z\n"
    first, again = gfil(*words), gfil(*words)
    assert first[0] == again[0] == 0
    told = f"{head}  3 rows: 3 inserted\n  warning: TESTFX ticks: {OLD}\n"
    assert first[1].startswith(f"{told}{running.url}: change ")
    assert again[1] == f"{head}  3 rows: 3 duplicates\n{running.url}: nothing changed\n"
    assert first[2] == again[2] == ""
    assert [row[:3] for row in ticks(running, "TESTFX")] == [
        [FIRST_MSC, 1.1, 1.1002],
        [FIRST_MSC, 1.1001, 1.1002],
        [FIRST_MSC + 61_460, 1.0999, 1.1001],
    ]


def test_key_from_the_environment_and_json_report(running: Server) -> None:
    words = ("--symbol", "JSON", "--clock", "+02:00", "--speed", "max", "--json")
    key = make_key(running.db)
    status, out, err = gfil("replay", MT5, "--url", running.url, *words, GFIL_KEY=key)
    told = orjson.loads(out)
    assert (status, err, told.pop("change") > 0) == (0, "", True)
    assert told == {
        "url": running.url,
        "file": str(MT5),
        "format": "ticks",
        "symbol": "JSON",
        "clock": "+02:00",
        "rows": 3,
        "inserted": 3,
        "duplicates": 0,
        "rejected": 0,
        "reasons": {},
        "errors": [],
        "warnings": [f"JSON ticks: {OLD.replace('03-01', '02-29')}"],
        "last": {"JSON": FIRST_MSC + 61_460 - 7_200_000},
    }


def test_broker_ticks_arrive_as_an_import_stores_them(
    running: Server, key_file: Path, tmp_path: Path
) -> None:
    source = SAMPLES / "brokers/ticks/XAUUSD_ticks_20140505_mt5_layout.csv.gz"
    url = ("--url", running.url, "--key-file", key_file, "--speed", "max")
    status, _, err = gfil("replay", source, "--clock", "nyclose", *url)
    assert (status, err) == (0, "")
    own = str(tmp_path / "own.db")
    gfil("import", source, "--clock", "nyclose", GFIL_DB=own)
    for tf in ("ticks", "M1", "H4"):
        words = ("export", "--symbol", "XAUUSD", "--tf", tf)
        replayed = gfil(*words, GFIL_DB=str(running.db))[1]
        assert replayed == gfil(*words, GFIL_DB=own)[1]
        assert len(replayed.splitlines()) > 2


def test_now_shifts_ticks_to_the_forming_candle(running: Server, key_file: Path) -> None:
    began = time.time()
    url = ("--url", running.url, "--key-file", key_file)
    status, _, _ = gfil("replay", CSV, "--symbol", "NOW", *url, "--speed", "100", "--now")
    stamps = [row[0] / 1000 for row in ticks(running, "NOW")]
    assert status == 0
    assert began <= stamps[0] <= stamps[-1] <= time.time()
    assert stamps[-1] - stamps[0] == pytest.approx(0.614, abs=0.0015)


def test_every_tick_arrives_once_over_a_bad_connection(
    running: Server, key_file: Path, tmp_path: Path
) -> None:
    source, rows = many(tmp_path, 30_000)
    plan = [PASS, 503, PASS, LOSE, HANG_UP, 429, PASS, LOSE, 507, 502]
    with faulty_proxy.opened(running.url, *plan, limit_bytes=300_000) as before:
        url = ("--url", before.url, "--key-file", key_file)
        status, out, err = gfil("replay", source, *url, "--speed", "max")
    assert status == 0
    assert "30,000 rows: 30,000 inserted\n" in out
    assert err.count("; retrying\n") == err.count(" accepts ticks again\n") >= 2
    assert ticks(running, "MANY") == rows


def test_server_restarted_during_a_replay_gets_every_tick(
    server: Callable[..., Server], tmp_path: Path
) -> None:
    first = server(GFIL_WORKERS="1")
    key = tmp_path / "key"
    key.write_text(make_key(first.db))
    source, rows = many(tmp_path, 4000, each_msc=20)
    process = start(source, "--url", first.url, "--key-file", key, "--speed", "10")
    wait_for(lambda: len(ticks(first, "MANY")) > 500, "the first ticks")
    children = Path(f"/proc/{first.process.pid}/task/{first.process.pid}/children")
    workers = list(map(int, children.read_text().split()))
    first.stop(signal.SIGKILL)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    place = urlsplit(first.url).netloc
    assert process.stderr
    trouble = process.stderr.readline()
    second = server("--bind", place, GFIL_DB=str(first.db), GFIL_WORKERS="1")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "4,000 rows: 4,000 inserted\n" in out
    assert trouble.startswith(f"gfil: cannot reach {first.url}: ")
    assert trouble.endswith("; retrying\n")
    assert err == f"gfil: {first.url} accepts ticks again\n"
    assert ticks(second, "MANY") == rows


def test_refused_rows_are_named_and_exit_with_3(
    running: Server, key_file: Path, tmp_path: Path
) -> None:
    source = tmp_path / "REFUSED_ticks.csv"
    ahead = int(time.time() + 7 * 86400) * 1000
    source.write_text(f"time_msc,bid,ask\n{FIRST_MSC},1,2\n{FIRST_MSC},x,2\n{ahead},1,2\n")
    url = ("--url", running.url, "--key-file", key_file)
    status, out, err = gfil("replay", source, *url, "--speed", "max", "--json")
    told = orjson.loads(out)
    assert (status, err) == (3, "")
    assert (told["rows"], told["inserted"], told["rejected"]) == (3, 1, 2)
    assert told["reasons"] == {"not_a_number": 1, "future": 1}
    assert [(error["row"], error["reason"]) for error in told["errors"]] == [
        (3, "not_a_number"),
        (4, "future"),
    ]


def test_invalid_or_read_only_key_ends_the_replay(running: Server, tmp_path: Path) -> None:
    wrong = gfil("replay", CSV, "--url", running.url, GFIL_KEY="gfil_wrong")
    assert wrong == (1, "", f"gfil: {running.url} refuses: 401, this key is not valid\n")
    reader = make_key(running.db, "read")
    refused = gfil("replay", CSV, "--url", running.url, GFIL_KEY=reader)
    assert refused[:2] == (1, "")
    assert refused[2].startswith(f"gfil: {running.url} refuses: 403, ")
    assert refused[2].count("\n") == 1
    assert reader not in refused[2]


def test_unreachable_or_other_server_ends_the_replay(running: Server) -> None:
    key = make_key(running.db)
    for url, line in (
        ("http://127.0.0.1:9", "cannot reach http://127.0.0.1:9: Connection refused"),
        (f"{running.url}/x", f"{running.url}/x refuses: 404, "),
    ):
        status, out, err = gfil("replay", CSV, "--url", url, GFIL_KEY=key)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert err.startswith(f"gfil: {line}")


@pytest.mark.parametrize(
    ("words", "key", "line"),
    [
        (["--url", "http://127.0.0.1:9"], "", "give a key with --key-file or GFIL_KEY"),
        (["--url", "http://127.0.0.1:9"], "two words", "GFIL_KEY does not contain a key"),
        (["--url", "http://10.0.0.1"], "k", "the key would be sent to 10.0.0.1 unencrypted"),
        (["--url", "127.0.0.1"], "k", "is not a URL such as"),
        ([], "k", "Missing option '--url'"),
        (["--url", "http://127.0.0.1:9", "--speed", "0"], "k", "a number above 0"),
        (["--url", "http://127.0.0.1:9", "--speed", "-1"], "k", "a number above 0"),
        (["--url", "http://127.0.0.1:9", "--speed", "max", "--now"], "k", "--now needs a --speed"),
        (["--url", "http://127.0.0.1:9", "--clock", "Mars"], "k", "Mars"),
    ],
)
def test_wrong_usage_is_one_line_and_exits_with_2(words: list[str], key: str, line: str) -> None:
    status, out, err = gfil("replay", CSV, *words, GFIL_KEY=key)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert line in err


def test_candle_file_or_missing_file_is_one_line() -> None:
    url = ("--url", "http://127.0.0.1:9")
    candles = gfil("replay", SAMPLES / "TESTFX1.csv", *url, GFIL_KEY="k")
    assert (candles[0], candles[2].count("\n")) == (1, 1)
    assert "these are candles, not ticks" in candles[2]
    assert gfil("replay", "no-such-file.csv", *url, GFIL_KEY="k")[0] == 2


def test_ctrl_c_reports_the_accepted_ticks(running: Server, key_file: Path, tmp_path: Path) -> None:
    source, rows = many(tmp_path, 500, each_msc=100)
    url = ("--url", running.url, "--key-file", key_file)
    process = start(source, "--symbol", "CTRLC", *url)
    wait_for(lambda: len(ticks(running, "CTRLC")) >= 5, "the first ticks")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    stored = ticks(running, "CTRLC")
    assert (process.returncode, out) == (1, "")
    assert err == f"gfil: stopped; {len(stored)} ticks accepted before\n"
    assert stored == rows[: len(stored)]


def test_terminal_shows_a_progress_bar(running: Server, key_file: Path) -> None:
    master, terminal = pty.openpty()
    shown: list[bytes] = []

    def look() -> None:
        try:
            while piece := os.read(master, 4096):
                shown.append(piece)
        except OSError:
            return  # the terminal is closed

    thread = threading.Thread(target=look)
    thread.start()
    words = ["replay", str(CSV), "--symbol", "BAR", "--speed", "1000"]
    subprocess.run(
        [*GFIL, *words, "--url", running.url, "--key-file", str(key_file)],
        env=clean_environment(TERM="xterm"),
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        check=True,
        timeout=120,
    )
    os.close(terminal)
    thread.join(10)
    os.close(master)
    last = b"".join(shown).decode().replace("\r", "\n").strip().splitlines()[-1]
    assert "replaying" in last
    assert "100%" in last
    assert "2024-03-01 00:01:01" in last
