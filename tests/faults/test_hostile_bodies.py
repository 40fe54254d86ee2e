"""Hostile bodies: each is refused clearly, stores nothing, and the next request works."""

import http.client
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, seed
from hypothesis import settings as effort
from hypothesis import strategies as st

from gfil.store.engine import connection
from tests.conftest import Server
from tests.faults import hostile
from tests.faults.memory import GROWTH_MAX_MB, Worker
from tests.faults.senders import make_key
from tests.faults.sizes import LONG, SEED
from tests.oracle.database import check_derived

EXAMPLES = 2000 if LONG else 150
REFUSALS = {400, 409, 413, 415, 422}
COUNTS = ("inserted", "updated", "unchanged", "kept", "duplicates", "rejected")
PATHS = {
    "candles": "/api/v1/candles?symbol=HOSTILE&tf=M1",
    "ticks": "/api/v1/ticks?symbol=HOSTILE",
}


def check_answer(status: int, content_type: str | None, body: bytes) -> dict[str, Any]:
    """Return the JSON of an answer: a clear refusal, or counts that add up."""
    told: dict[str, Any] = orjson.loads(body)
    if status == 200:
        assert told["rows"] == sum(told.get(name, 0) for name in COUNTS)
        assert told["rejected"] == sum(told["reasons"].values())
    else:
        assert status in REFUSALS, body
        assert content_type == "application/problem+json"
        assert told["status"] == status
        assert told["detail"]
        assert len(told["detail"]) < 1000
    return told


@pytest.fixture(scope="module")
def running(server: Callable[..., Server]) -> Server:
    """One worker, so that its memory is that of every request."""
    return server(GFIL_WORKERS="1")


@pytest.mark.parametrize("kind", PATHS)
def test_hostile_body_is_refused_and_the_next_request_works(
    running: Server, kind: str, subtests: pytest.Subtests
) -> None:
    """Nothing is stored, and the worker's memory stays flat."""
    headers = {"X-API-Key": make_key(running.db)}
    worker = Worker(running)
    for case in hostile.bodies(kind):
        with subtests.test(kind=kind, name=case.name):
            before = worker.begin()
            db = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=120)
            db.request("POST", PATHS[kind], case.body, {**headers, **case.headers})
            response = db.getresponse()
            content = response.read()
            db.close()
            told = check_answer(response.status, response.headers["Content-Type"], content)
            assert (told.get("inserted", 0), told.get("updated", 0)) == (0, 0)
            assert worker.peak() - before < GROWTH_MAX_MB
            assert running.get("/healthz").status == 200
    good = hostile.candle_csv() if kind == "candles" else hostile.tick_csv()
    path = PATHS[kind].replace("HOSTILE", f"GOOD.{kind}")
    told = orjson.loads(running.request("POST", path, good, **headers).body)
    assert (told["rows"], told["inserted"]) == (1, 1)
    db = connection.connect(running.db, readonly=True)
    names = {name for (name,) in db.execute("SELECT name FROM symbol")}
    assert names <= {"GOOD.candles", "GOOD.ticks"}
    check_derived(db)
    db.close()
    assert "Traceback" not in running.log.read_text()


SEEDS = [
    *(hostile.candle_json(), hostile.candle_csv(), hostile.tick_json(), hostile.tick_csv()),
    b'{"s":"ok","t":[1700000040],"o":[1],"h":[1],"l":[1],"c":[1],"v":[1]}',
    b"<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
    b"2024.01.02\t00:00:00\t1.1\t1.2\t1.0\t1.1\t5\t0\t6\n",
    b"<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>\n"
    b"2024.01.02\t00:00:00.083\t1.1\t1.2\t\t\t6\n",
    b"2013.12.11,17:20,1.1,1.2,1.0,1.1,5\n",
]
SPICES = [b"NaN", b"1e999", b"\0", b"\xff", b'"', b"[", b"{", b"}", b",", b"\n", b"-", b"9" * 30]


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A valid body with a part removed, inserted or repeated."""
    body = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        to = draw(st.integers(at, min(at + 20, len(body))))
        spice = draw(st.sampled_from(SPICES) | st.binary(max_size=4) | st.just(body[at:to]))
        body = body[:at] + spice + body[draw(st.sampled_from((at, to))) :]
    return body


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e15, 1e15) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["time", "open", "t", "ticks", "candles", "bid", "clock"]) | st.text(),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
).map(orjson.dumps)


@pytest.mark.parametrize("kind", PATHS)
def test_random_body_never_answers_500(client: FlaskClient, db_path: Path, kind: str) -> None:
    """Spoilt valid bodies, random bytes, random JSON; stored rows obey the laws."""
    headers = {"X-API-Key": make_key(db_path)}

    @seed(SEED)
    @effort(max_examples=EXAMPLES, deadline=None, suppress_health_check=[*HealthCheck])
    @given(body=spoilt() | st.binary(max_size=200) | ANYTHING)
    def post(body: bytes) -> None:
        response = client.post(PATHS[kind], data=body, headers=headers)
        check_answer(response.status_code, response.headers["Content-Type"], response.data)

    print(f"GFIL_SEED={SEED}")
    post()
    db = connection.connect(db_path, readonly=True)
    check_derived(db)
    db.close()
