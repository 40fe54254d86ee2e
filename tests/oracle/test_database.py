"""Tests of the oracle itself: each wrong row in the tables is found."""

import apsw
import pytest

from tests.oracle.database import check_derived, check_logged, read_state
from tests.store.model import write, write_ticks

DAY = 1_709_251_200
MUTATIONS = [
    "DELETE FROM candle WHERE kind = 0 AND time = (SELECT max(time) FROM candle WHERE kind = 0)",
    "UPDATE candle SET high = high + 1 WHERE kind = 0",
    "UPDATE candle SET volume = volume + 1 WHERE kind = 0",
    "UPDATE candle SET close = low WHERE kind = 1 AND time = (SELECT max(time) FROM candle)",
    "DELETE FROM candle WHERE kind = 1 AND time = (SELECT min(time) FROM candle WHERE kind = 1)",
    "UPDATE superseded SET volume = 1000",
    "UPDATE superseded SET time = time + 3600",
    "DELETE FROM tick",
    "UPDATE tick SET bid = bid + 1",
]


@pytest.fixture
def filled(db: apsw.Connection) -> apsw.Connection:
    """A database with stored M1, a superseded H1 and ticks."""
    rows = [((time, time + 60), (2.0, 3.0, 1.0, 2.5, 7.0)) for time in range(DAY, DAY + 3600, 60)]
    write(db, "EURUSD", "H1", [((DAY, DAY + 3600), (2.0, 2.5, 1.5, 2.0, 9.0))])
    write(db, "EURUSD", "M1", rows)
    write_ticks(db, "GOLD", [(DAY * 1000 + 700 * n, 1.0 + n, 9.0, 0.0, 0.0, 6) for n in range(200)])
    return db


def test_tables_as_the_store_makes_them_are_accepted(filled: apsw.Connection) -> None:
    check_derived(filled)
    assert [len(rows) for name, rows in read_state(filled).items() if name == "superseded"] == [1]


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_wrong_row_is_found(filled: apsw.Connection, mutation: str) -> None:
    filled.execute(mutation)
    assert filled.changes() > 0
    with pytest.raises(AssertionError, match="are not what their base makes them"):
        check_derived(filled)


def test_change_without_a_log_entry_is_found(filled: apsw.Connection) -> None:
    before = read_state(filled)
    write(filled, "EURUSD", "M1", [((DAY + 3600, DAY + 3660), (2.0, 3.0, 1.0, 2.5, 7.0))])
    check_logged(before, read_state(filled))
    filled.execute("DELETE FROM change_log WHERE change = (SELECT max(change) FROM change_log)")
    with pytest.raises(AssertionError):
        check_logged(before, read_state(filled))
