"""Live feed of `serve --demo`: a process that posts generated ticks over HTTP.

The process ends when the server has ended, even if the server was killed.
"""

import logging
import math
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import apsw

from gfil import config, logs
from gfil.client import tick_poster
from gfil.client.tick_poster import Poster, Server, Tick
from gfil.demo import history
from gfil.demo.history import INSTRUMENTS, Instrument
from gfil.errors import GfilError, Unauthorized
from gfil.store import api_keys, symbols
from gfil.store.candles import inventory
from gfil.store.engine import connection
from gfil.timeframes import DAY, MINUTE

KEY_NAME = "made-up live feed"
KEY_LIFE_S = DAY
KEY_RENEWED_S = KEY_LIFE_S // 2  # renewed well before it expires
ROUND_S = 0.25
WATCH_S = 0.25  # between two checks that the server is alive
RATE_MIN = 0.3  # ticks of a symbol per second, in the quietest hours
STEP_MAX_S = float(MINUTE)  # limits the price jump after the machine was suspended
SPREAD = 0.0001  # of the price
STARTS_MAX = 5  # a feed that is killed this often is killed on purpose
RESTART_S = 1.0
LAST_LINE = b"ended\n"  # on stdout: the feed has logged its end


def start(address: Sequence[Any], database: Path) -> None:
    """Start the feed, and restart it if it is killed, as long as this process lives."""
    feed = start_process(address, database, stdout=subprocess.PIPE)
    # A thread, because gunicorn's master reaps every child itself and reports none of ours.
    threading.Thread(target=_supervise, args=(feed, address, database), daemon=True).start()


def _supervise(feed: "subprocess.Popen[bytes]", address: Sequence[Any], database: Path) -> None:
    for left in reversed(range(STARTS_MAX)):
        assert feed.stdout
        with feed.stdout:
            if feed.stdout.read() == LAST_LINE:  # the feed has logged the reason
                return
        detail = f"the feed was killed and is {'restarted' if left else 'not restarted'}"
        logs.log_event(logging.ERROR, "feed_stop", pid=feed.pid, detail=detail)
        time.sleep(RESTART_S)
        if left:
            feed = start_process(address, database, stdout=subprocess.PIPE)


def start_process(
    address: Sequence[Any], database: Path, stdout: int = subprocess.DEVNULL
) -> "subprocess.Popen[bytes]":
    """Start a feed process for the server of this process, which listens on `address`."""
    host, port = address[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = Server("http", reachable, port, "").url
    # In a new session: Ctrl-C stops the server alone, which answers its open requests first.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "gfil.demo.live_feed", url, str(database), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        bufsize=0,
        env=os.environ | {"PYTHONPATH": str(config.ROOT)},
        start_new_session=True,
    )


class Walk:
    """Random walk of the price of one instrument."""

    def __init__(self, instrument: Instrument, price: float, now: float) -> None:
        self._instrument = instrument
        self._price = price
        self._moved_at = now

    def step(self, rng: random.Random, now: float) -> Tick | None:
        """Return the tick of a round, or None if the round is quiet or the market closed."""
        rate = history.MINUTE_TICKS / MINUTE * history.activity(now)
        is_quiet = rng.random() >= max(rate, RATE_MIN) * ROUND_S
        if is_quiet or not history.is_open(self._instrument, now):
            return None
        seconds = min(max(now - self._moved_at, 0.0), STEP_MAX_S)
        self._price = history.move(rng, self._instrument, self._price, now, seconds)
        self._moved_at = now
        bid = round(self._price, self._instrument.digits)
        point = 10.0**-self._instrument.digits
        ask = round(bid + max(bid * SPREAD * rng.random(), point), self._instrument.digits)
        return Tick(0, self._instrument.name, int(now * 1000), bid, ask, flags=6)


def run(server: Server, database: Path, parent: int) -> NoReturn:
    """Post ticks as long as the process `parent` is the parent of this one.

    Raises:
        Unauthorized: a feed started later has revoked the key.
        GfilError: the server refuses the ticks, or the database cannot be used.
    """
    rng = random.Random()
    walks = _start_walks(database, time.time())
    while True:
        now = time.time()
        renew_at = now + KEY_RENEWED_S
        poster = Poster(
            server,
            _create_key(database, int(now)),
            retry_s=math.inf,
            first_retry_s=math.inf,
            sleep=lambda seconds: _sleep(seconds, parent),
        )
        with closing(poster):
            while now < renew_at:
                _sleep(ROUND_S, parent)
                now = time.time()
                if ticks := [tick for walk in walks if (tick := walk.step(rng, now))]:
                    list(poster.post(ticks))


def _start_walks(database: Path, now: float) -> list[Walk]:
    db = connection.connect(database, readonly=True)
    walks = []
    for instrument in INSTRUMENTS:
        symbol = symbols.find(db, instrument.name)
        latest = inventory.read_latest(db, symbol) if symbol else None
        walks.append(Walk(instrument, latest.close if latest else instrument.price, now))
    db.close()
    return walks


def _create_key(database: Path, now: int) -> str:
    db = connection.connect(database)
    with connection.transaction(db):
        for key in api_keys.list_keys(db):
            if key.name == KEY_NAME and key.is_valid(now):
                api_keys.revoke(db, key.id, now=now)
        expires = now + KEY_LIFE_S
        _, secret = api_keys.create(db, KEY_NAME, "write", now=now, expires=expires)
    db.close()
    return secret


def _sleep(seconds: float, parent: int) -> None:
    deadline = time.monotonic() + seconds
    while os.getppid() == parent:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return
        time.sleep(min(left_s, WATCH_S))
    raise SystemExit(0)


def main(url: str, database: str, parent: str) -> NoReturn:
    """Run the feed; log the reason if it ends before the server does."""
    logs.configure()
    try:
        run(tick_poster.parse_url(url, insecure=True), Path(database), int(parent))
    except Unauthorized:
        logs.log_event(logging.INFO, "feed_stop", detail="a feed started later has taken over")
    except (GfilError, apsw.Error) as error:
        logs.log_event(logging.ERROR, "feed_stop", detail=str(error))
    sys.stdout.buffer.write(LAST_LINE)
    raise SystemExit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
