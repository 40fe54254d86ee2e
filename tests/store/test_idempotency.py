"""Idempotency records: replayed for a day, limited in number; progress of unfinished requests."""

import apsw
import pytest

from gfil.store import idempotency
from gfil.store.engine import connection
from gfil.store.idempotency import (
    RECORDS_MAX,
    RETENTION_S,
    TRIM_EVERY,
    TRIMMED_TO,
    RequestIdentity,
    StoredAnswer,
)

NOW = 1_700_000_000.5
ASKED = RequestIdentity("aaaaaaaa", "POST /api/v1/ticks", "1", b"d" * 32)
ANSWER = StoredAnswer(200, b'{"rows":1}')
COUNT = "SELECT COUNT(*) FROM idempotency_record WHERE key_id = :key_id"


def put(
    db: apsw.Connection, asked: RequestIdentity, now: float = NOW, answer: StoredAnswer = ANSWER
) -> None:
    with connection.transaction(db):
        idempotency.store_answer(db, asked, answer, now=now)


def test_repeated_request_finds_answer_for_a_day(db: apsw.Connection) -> None:
    """Not longer."""
    assert idempotency.find_answer(db, ASKED, now=NOW) is None
    put(db, ASKED)
    assert idempotency.find_answer(db, ASKED, now=NOW + RETENTION_S - 1) == ANSWER
    assert idempotency.find_answer(db, ASKED, now=NOW + RETENTION_S) is None


@pytest.mark.parametrize("other", [{"key_id": "bbbbbbbb"}, {"route": "POST /x"}, {"name": "2"}])
def test_different_key_route_or_name_is_different_request(
    db: apsw.Connection, other: dict[str, str]
) -> None:
    """Two programs may number their requests from 1."""
    put(db, ASKED)
    assert idempotency.find_answer(db, ASKED._replace(**other), now=NOW) is None


def test_reused_key_with_other_body_is_refused(db: apsw.Connection) -> None:
    """For a day; then the key is free for a new answer."""
    put(db, ASKED)
    other = ASKED._replace(digest=b"e" * 32)
    with pytest.raises(idempotency.KeyReused) as refused:
        idempotency.find_answer(db, other, now=NOW)
    assert (refused.value.status, refused.value.type) == (422, "idempotency_key")
    later = NOW + RETENTION_S
    assert idempotency.find_answer(db, other, now=later) is None
    put(db, other, later, StoredAnswer(200, b"{}"))
    assert idempotency.find_answer(db, other, now=later) == StoredAnswer(200, b"{}")


def test_oldest_records_beyond_limit_are_deleted(db: apsw.Connection) -> None:
    """Records of another key stay, also if all have the same second."""
    put(db, ASKED._replace(key_id="bbbbbbbb"))
    with connection.transaction(db):
        for n in range(RECORDS_MAX + TRIM_EVERY):
            idempotency.store_answer(db, ASKED._replace(name=f"{n:06}"), ANSWER, now=NOW)
            if n % TRIM_EVERY == 0:
                assert connection.query_one(db, COUNT, {"key_id": ASKED.key_id}) <= RECORDS_MAX
    last = ASKED._replace(name=f"{RECORDS_MAX + TRIM_EVERY - 1:06}")
    assert idempotency.find_answer(db, last, now=NOW) == ANSWER
    assert idempotency.find_answer(db, ASKED._replace(name="000000"), now=NOW) is None
    with connection.transaction(db):
        idempotency.trim(db, ASKED.key_id, now=NOW)
    assert connection.query_one(db, COUNT, {"key_id": ASKED.key_id}) == TRIMMED_TO
    assert idempotency.list_key_ids(db) == ["aaaaaaaa", "bbbbbbbb"]


def test_trim_deletes_expired_records(db: apsw.Connection) -> None:
    """Records of inactive programs must not pile up."""
    put(db, ASKED)
    put(db, ASKED._replace(name="2"), NOW + RETENTION_S - 1)
    with connection.transaction(db):
        idempotency.trim(db, ASKED.key_id, now=NOW + RETENTION_S)
    assert connection.query_one(db, COUNT, {"key_id": ASKED.key_id}) == 1


def test_progress_is_not_an_answer(db: apsw.Connection) -> None:
    assert idempotency.read_progress(db, ASKED, now=NOW) is None
    with connection.transaction(db):
        idempotency.store_progress(db, ASKED, {"deleted": 3}, now=NOW)
    assert idempotency.read_progress(db, ASKED, now=NOW) == {"deleted": 3}
    assert idempotency.find_answer(db, ASKED, now=NOW) is None
    put(db, ASKED)
    with connection.transaction(db):
        idempotency.store_progress(db, ASKED, {"deleted": 5}, now=NOW)
    assert idempotency.read_progress(db, ASKED, now=NOW) is None
    assert idempotency.find_answer(db, ASKED, now=NOW) == ANSWER


def test_progress_expires_after_a_day(db: apsw.Connection) -> None:
    with connection.transaction(db):
        idempotency.store_progress(db, ASKED, {"deleted": 3}, now=NOW)
    assert idempotency.read_progress(db, ASKED, now=NOW + RETENTION_S - 1) == {"deleted": 3}
    assert idempotency.read_progress(db, ASKED, now=NOW + RETENTION_S) is None


def test_progress_of_another_body_is_refused(db: apsw.Connection) -> None:
    with connection.transaction(db):
        idempotency.store_progress(db, ASKED, {"deleted": 3}, now=NOW)
    other = ASKED._replace(digest=b"e" * 32)
    for use in (idempotency.find_answer, idempotency.read_progress):
        with pytest.raises(idempotency.KeyReused):
            use(db, other, now=NOW)
