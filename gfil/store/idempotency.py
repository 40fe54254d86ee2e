"""Idempotency records: the stored first answer to each Idempotency-Key, for repeated requests."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import apsw
import orjson

from gfil.errors import GfilError
from gfil.store.engine import connection

RETENTION_S = 24 * 3600
RECORDS_MAX = 10_000  # of one API key
TRIM_EVERY = 100  # answers of one API key and process: counting its records takes a while
TRIMMED_TO = RECORDS_MAX - 10 * TRIM_EVERY  # ten processes may store answers until their next trim
UNFINISHED = 202  # status of a record with the progress of a request that is not answered yet


class RequestIdentity(NamedTuple):
    """One request: API key, route, Idempotency-Key, and SHA-256 of its query and body."""

    key_id: str
    route: str
    name: str
    digest: bytes


class StoredAnswer(NamedTuple):
    """The status and the body of an answer."""

    status: int
    body: bytes


class KeyReused(GfilError):
    """An Idempotency-Key that belongs to a different earlier request."""

    status = 422
    type = "idempotency_key"
    title = "Idempotency-Key of another request"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the Idempotency-Key {name[:64]!r} came with another query or body in the last 24 h: "
            "nothing was changed"
        )


def find_answer(
    db: apsw.Connection, request: RequestIdentity, *, now: float
) -> StoredAnswer | None:
    """Return the stored answer to a request, or None.

    Raises:
        KeyReused: the Idempotency-Key came with another query or body.
    """
    record = _read_record(db, request, now)
    return None if record is None or record.status == UNFINISHED else record


READ_RECORD = """
SELECT digest, status, answer
FROM idempotency_record
WHERE key_id = :key_id AND route = :route AND name = :name AND time > :oldest
"""


def _read_record(db: apsw.Connection, request: RequestIdentity, now: float) -> StoredAnswer | None:
    bindings = request._asdict() | {"oldest": int(now) - RETENTION_S}
    row = connection.query_one(db, READ_RECORD, bindings)
    if row is None:
        return None
    digest, status, body = row
    if digest != request.digest:
        raise KeyReused(request.name)
    return StoredAnswer(status, body)


PUT = """
INSERT INTO idempotency_record (key_id, route, name, digest, time, status, answer)
VALUES (:key_id, :route, :name, :digest, :time, :status, :body)
ON CONFLICT (key_id, route, name) DO UPDATE
SET digest = :digest, time = :time, status = :status, answer = :body
"""


def store_answer(
    db: apsw.Connection, request: RequestIdentity, answer: StoredAnswer, *, now: float
) -> None:
    """Store an answer, in the transaction of the work it reports; trim old records now and then."""
    db.execute(PUT, request._asdict() | answer._asdict() | {"time": int(now)})
    if _puts[request.key_id] % TRIM_EVERY == 0:
        trim(db, request.key_id, now=now)
    _puts[request.key_id] += 1


_puts: Counter[str] = Counter()  # by this process


def read_progress(
    db: apsw.Connection, request: RequestIdentity, *, now: float
) -> dict[str, int] | None:
    """Return the stored progress of an unfinished request, or None.

    Raises:
        KeyReused: the Idempotency-Key came with another query or body.
    """
    record = _read_record(db, request, now)
    if record is None or record.status != UNFINISHED:
        return None
    progress: dict[str, int] = orjson.loads(record.body)
    return progress


def store_progress(
    db: apsw.Connection, request: RequestIdentity, progress: Mapping[str, int], *, now: float
) -> None:
    """Store the progress of a request, in the transaction of the work; a stored answer stays.

    After a crash the repeated request continues with it. `store_answer` replaces it.

    Raises:
        KeyReused: the Idempotency-Key came with another query or body.
    """
    if find_answer(db, request, now=now) is None:
        record = StoredAnswer(UNFINISHED, orjson.dumps(dict(progress)))
        db.execute(PUT, request._asdict() | record._asdict() | {"time": int(now)})


FORGET_OLD = "DELETE FROM idempotency_record WHERE key_id = :key_id AND time <= :oldest"
# Many records may have the same second: route and name complete the order, as in the index.
READ_FIRST_TO_FORGET = """
SELECT time, route, name
FROM idempotency_record
WHERE key_id = :key_id
ORDER BY time DESC, route DESC, name DESC
LIMIT 1
OFFSET :count
"""
FORGET_OVERFLOW = """
DELETE FROM idempotency_record
WHERE key_id = :key_id AND (time, route, name) <= (:time, :route, :name)
"""


def trim(db: apsw.Connection, key_id: str, *, now: float) -> None:
    """Delete records that are too old or too many; inside a transaction."""
    db.execute(FORGET_OLD, {"key_id": key_id, "oldest": int(now) - RETENTION_S})
    count = {"key_id": key_id, "count": TRIMMED_TO}
    first = connection.query_one(db, READ_FIRST_TO_FORGET, count)
    if first is not None:
        time, route, name = first
        bindings = {"key_id": key_id, "time": time, "route": route, "name": name}
        db.execute(FORGET_OVERFLOW, bindings)


LIST_KEY_IDS = "SELECT DISTINCT key_id FROM idempotency_record"


def list_key_ids(db: apsw.Connection) -> list[str]:
    """Return the ids of the API keys that have records, also of revoked keys."""
    return [key_id for (key_id,) in connection.query_all(db, LIST_KEY_IDS)]
