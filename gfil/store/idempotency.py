"""Requests that carried an Idempotency-Key: the first answer to each, to be given again."""

from collections import Counter
from typing import NamedTuple

import apsw

from gfil.errors import GfilError
from gfil.store.engine import connection

KEPT_FOR_S = 24 * 3600
KEPT_MAX = 10_000  # answers to the requests of one API key
TRIM_EVERY = 100  # requests of one API key, by each process: to count them takes a while
TRIMMED_TO = 9_000  # leaves room for what ten processes store before they look again


class RequestIdentity(NamedTuple):
    """One request: whose it is, where it went, its Idempotency-Key, and SHA-256 of what it says."""

    key_id: str
    route: str
    name: str
    digest: bytes


class StoredAnswer(NamedTuple):
    """What was answered: the status and the body."""

    status: int
    body: bytes


class KeyReused(GfilError):
    """An Idempotency-Key that came with another request before."""

    status = 422
    type = "idempotency_key"
    title = "Idempotency-Key of another request"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the Idempotency-Key {name[:64]!r} came with another query or body in the last 24 h: "
            "nothing was stored"
        )


FIND = """
SELECT digest, status, answer
FROM idempotency_record
WHERE key_id = :key_id AND route = :route AND name = :name AND time > :oldest
"""


def find_answer(db: apsw.Connection, asked: RequestIdentity, *, now: float) -> StoredAnswer | None:
    """Return the answer to this very request if it has one.

    Raises:
        KeyTaken: its Idempotency-Key came with another query or body.
    """
    row = connection.query_one(db, FIND, asked._asdict() | {"oldest": int(now) - KEPT_FOR_S})
    if row is None:
        return None
    digest, status, body = row
    if digest != asked.digest:
        raise KeyReused(asked.name)
    return StoredAnswer(status, body)


PUT = """
INSERT INTO idempotency_record (key_id, route, name, digest, time, status, answer)
VALUES (:key_id, :route, :name, :digest, :time, :status, :body)
ON CONFLICT (key_id, route, name) DO UPDATE
SET digest = :digest, time = :time, status = :status, answer = :body
"""


def store_answer(
    db: apsw.Connection, asked: RequestIdentity, answer: StoredAnswer, *, now: float
) -> None:
    """Remember an answer; in the transaction of what it tells. The oldest of a key go."""
    db.execute(PUT, asked._asdict() | answer._asdict() | {"time": int(now)})
    if _puts[asked.key_id] % TRIM_EVERY == 0:
        trim(db, asked.key_id, now=now)
    _puts[asked.key_id] += 1


_puts: Counter[str] = Counter()  # by this process

FORGET_OLD = "DELETE FROM idempotency_record WHERE key_id = :key_id AND time <= :oldest"
# Many may have come in one second: the index goes on with route and name.
FIRST_TO_GO = """
SELECT time, route, name
FROM idempotency_record
WHERE key_id = :key_id
ORDER BY time DESC, route DESC, name DESC
LIMIT 1
OFFSET :count
"""
FORGET_CROWDED = """
DELETE FROM idempotency_record
WHERE key_id = :key_id AND (time, route, name) <= (:time, :route, :name)
"""


def trim(db: apsw.Connection, key_id: str, *, now: float) -> None:
    """Forget answers that are too old or too many; inside a transaction."""
    db.execute(FORGET_OLD, {"key_id": key_id, "oldest": int(now) - KEPT_FOR_S})
    first = connection.query_one(db, FIRST_TO_GO, {"key_id": key_id, "count": TRIMMED_TO})
    if first is not None:
        time, route, name = first
        bindings = {"key_id": key_id, "time": time, "route": route, "name": name}
        db.execute(FORGET_CROWDED, bindings)


KEY_IDS = "SELECT DISTINCT key_id FROM idempotency_record"


def list_key_ids(db: apsw.Connection) -> list[str]:
    """Return the keys that have answers kept, also those that are revoked."""
    return [key_id for (key_id,) in connection.query_all(db, KEY_IDS)]
