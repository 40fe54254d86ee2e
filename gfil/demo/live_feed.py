"""A made-up live feed for `serve --demo`: ticks through the public door, as long as it is open.

It is a process of its own, which ends when the server has ended, however that ended.
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
KEY_RENEWED_S = KEY_LIFE_S // 2  # well before it expires
ROUND_S = 0.25
WATCH_S = 0.25  # how often it looks whether the server is still there
RATE_LEAST = 0.3  # ticks of a symbol a second, in the quietest hours
STEP_MAX_S = float(MINUTE)  # a machine that slept wakes up to no jump
SPREAD = 0.0001  # of the price
STARTS_MAX = 5  # what is killed again and again is killed on purpose
AGAIN_S = 1.0
LAST_WORD = b"ended\n"  # on stdout: it was not killed


def keep(address: Sequence[Any], database: Path) -> None:
    """Start the feed, and start it anew when it is killed, for as long as this process lives."""
    feed = start(address, database, stdout=subprocess.PIPE)
    # A thread, for gunicorn's master waits for every child itself and tells nobody of this one.
    threading.Thread(target=_keep, args=(feed, address, database), daemon=True).start()


def _keep(feed: "subprocess.Popen[bytes]", address: Sequence[Any], database: Path) -> None:
    for left in reversed(range(STARTS_MAX)):
        assert feed.stdout
        with feed.stdout:
            if feed.stdout.read() == LAST_WORD:  # and why, it has said in the log
                return
        then = "it is started again" if left else "it is not started again"
        logs.say(logging.ERROR, "feed_stop", pid=feed.pid, detail=f"it was killed: {then}")
        time.sleep(AGAIN_S)
        if left:
            feed = start(address, database, stdout=subprocess.PIPE)


def start(
    address: Sequence[Any], database: Path, stdout: int = subprocess.DEVNULL
) -> "subprocess.Popen[bytes]":
    """Start the feed for the server that this process becomes, which listens at `address`."""
    host, port = address[:2]
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = Server("http", reached, port, "").url
    # A session of its own: a Ctrl-C is meant for the server, which answers what it has begun.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "gfil.demo.live_feed", url, str(database), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        bufsize=0,
        env=os.environ | {"PYTHONPATH": str(config.ROOT)},
        start_new_session=True,
    )


class Walk:
    """The price of one instrument, from a moment on."""

    def __init__(self, instrument: Instrument, price: float, now: float) -> None:
        self._instrument = instrument
        self._price = price
        self._moved = now

    def step(self, rng: random.Random, now: float) -> Tick | None:
        """Return the tick of a round, if it brings one."""
        rate = history.MINUTE_TICKS / MINUTE * history.liveliness(now)
        is_quiet = rng.random() >= max(rate, RATE_LEAST) * ROUND_S
        if is_quiet or not history.is_open(self._instrument, now):
            return None
        seconds = min(max(now - self._moved, 0.0), STEP_MAX_S)
        self._price = history.move(rng, self._instrument, self._price, now, seconds)
        self._moved = now
        bid = round(self._price, self._instrument.digits)
        point = 10.0**-self._instrument.digits
        ask = round(bid + max(bid * SPREAD * rng.random(), point), self._instrument.digits)
        return Tick(0, self._instrument.name, int(now * 1000), bid, ask, flags=6)


def run(server: Server, database: Path, parent: int) -> NoReturn:
    """Post ticks for as long as the process `parent` is the one that started this one.

    Raises:
        Unauthorized: the feed of a later start has taken over.
        GfilError: the server or the database is not what it was.
    """
    rng = random.Random()
    walks = _begin(database, time.time())
    while True:
        now = time.time()
        renew_at = now + KEY_RENEWED_S
        poster = Poster(
            server,
            _make_key(database, int(now)),
            patience_s=math.inf,
            first_patience_s=math.inf,
            rest=lambda seconds: _rest(seconds, parent),
        )
        with closing(poster):
            while now < renew_at:
                _rest(ROUND_S, parent)
                now = time.time()
                if ticks := [tick for walk in walks if (tick := walk.step(rng, now))]:
                    list(poster.post(ticks))


def _begin(database: Path, now: float) -> list[Walk]:
    db = connection.connect(database, readonly=True)
    walks = []
    for instrument in INSTRUMENTS:
        symbol = symbols.find(db, instrument.name)
        latest = inventory.read_latest(db, symbol) if symbol else None
        walks.append(Walk(instrument, latest.close if latest else instrument.price, now))
    db.close()
    return walks


def _make_key(database: Path, now: int) -> str:
    db = connection.connect(database)
    with connection.transaction(db):
        for key in api_keys.list_keys(db):
            if key.name == KEY_NAME and key.is_valid(now):
                api_keys.revoke(db, key.id, now=now)
        expires = now + KEY_LIFE_S
        _, secret = api_keys.create(db, KEY_NAME, "write", now=now, expires=expires)
    db.close()
    return secret


def _rest(seconds: float, parent: int) -> None:
    until = time.monotonic() + seconds
    while os.getppid() == parent:
        left = until - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, WATCH_S))
    raise SystemExit(0)


def main(url: str, database: str, parent: str) -> NoReturn:
    """Run the feed, and say in the log why it ended if that was not the server's end."""
    logs.configure()
    try:
        run(tick_poster.parse_url(url, insecure=True), Path(database), int(parent))
    except Unauthorized:
        logs.say(logging.INFO, "feed_stop", detail="the feed of a later start has taken over")
    except (GfilError, apsw.Error) as error:
        logs.say(logging.ERROR, "feed_stop", detail=str(error))
    sys.stdout.buffer.write(LAST_WORD)
    raise SystemExit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
