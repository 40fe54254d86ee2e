"""Retention: rules, cutoffs, backdated days and received days."""

from datetime import UTC, datetime

import apsw
import pytest

from gfil.errors import BadParameter
from gfil.store import symbols
from gfil.store.candles import ticks
from gfil.store.engine import connection
from gfil.store.removal import delete_range, sweep
from gfil.store.retention import backdated_days
from gfil.store.retention import rules as retention_rules
from gfil.store.retention.backdated_days import BackdatedDays
from gfil.store.retention.rules import DEFAULTS, FOREVER, SUBJECTS, BadPeriod, Period, parse_period
from gfil.store.symbols import Symbol
from tests.oracle.buckets import DAY, HOUR
from tests.store.model import write

FLAT = (1.0, 1.0, 1.0, 1.0, 1.0)
NOW = 1_700_006_400  # 2023-11-15T00:00Z
TODAY = NOW - NOW % DAY


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def minutes(*days_ago: float) -> list:
    starts = [TODAY - round(days * DAY) for days in days_ago]
    return [((start, start + 60), FLAT) for start in starts]


def put(db: apsw.Connection, symbol: Symbol | None = None, **rules: str | None) -> None:
    with connection.transaction(db):
        parsed = {what: text and parse_period(text) for what, text in rules.items()}
        retention_rules.set_rules(db, symbol, parsed)


def ensure(db: apsw.Connection, name: str = "EURUSD") -> Symbol:
    with connection.transaction(db):
        return symbols.ensure(db, name)


def marks(db: apsw.Connection) -> tuple[list, list]:
    """Return the backdated and the received days, as their ages in days."""
    backdated = connection.query_all(db, "SELECT series % 32, day FROM backdated_day ORDER BY 1, 2")
    received = connection.query_all(db, "SELECT day, time FROM received_day ORDER BY day")
    return (
        [(number, (TODAY - day) // DAY) for number, day in backdated],
        [((TODAY - day) // DAY, time - NOW) for day, time in received],
    )


@pytest.mark.parametrize(
    ("text", "keep", "name"),
    [
        ("7d", Period(7, "days"), "7d"),
        ("1 day", Period(1, "days"), "1d"),
        ("2weeks", Period(14, "days"), "14d"),
        ("3months", Period(3, "months"), "3months"),
        ("1month", Period(1, "months"), "1months"),
        ("1y", Period(12, "months"), "1y"),
        ("24months", Period(24, "months"), "2y"),
        ("10 YEARS", Period(120, "months"), "10y"),
        ("forever", FOREVER, "forever"),
    ],
)
def test_period_has_canonical_spelling(text: str, keep: Period, name: str) -> None:
    assert parse_period(text) == keep
    assert parse_period(keep.name) == keep
    assert keep.name == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "d",
        "0d",
        "-7d",
        "7.5d",
        "3m",
        "3M",
        "48h",
        "7d3h",
        "300y",
        "99999months",
        "٣d",
        "x",
    ],
)
def test_invalid_period_is_refused(text: str) -> None:
    with pytest.raises(BadPeriod):
        parse_period(text)


@pytest.mark.parametrize(
    ("text", "now", "first"),
    [
        ("7d", "2024-03-08T00:00", "2024-03-01"),
        ("7d", "2024-03-08T23:59:59", "2024-03-01"),
        ("1d", "2024-03-01T12:00", "2024-02-29"),
        ("3months", "2024-05-31T12:00", "2024-02-29"),
        ("3months", "2023-05-31T12:00", "2023-02-28"),
        ("3months", "2024-02-15T00:00", "2023-11-15"),
        ("1y", "2024-02-29T08:00", "2023-02-28"),
        ("12months", "2024-12-31T08:00", "2023-12-31"),
        ("25y", "2024-12-31T08:00", "1999-12-31"),
    ],
)
def test_cutoff_is_first_day_partly_within_period(text: str, now: str, first: str) -> None:
    assert retention_rules.cutoff(parse_period(text), at(now)) == at(first)


def test_forever_has_no_cutoff() -> None:
    assert retention_rules.cutoff(FOREVER, NOW) == at("1900-01-01")
    assert retention_rules.cutoff(parse_period("200y"), NOW) < at("1900-01-01")


def test_default_retention_is_three_months_of_m1_and_a_week_of_ticks(db: apsw.Connection) -> None:
    assert retention_rules.read_rules(db) == dict.fromkeys(SUBJECTS, FOREVER) | DEFAULTS
    assert [DEFAULTS["ticks"].name, DEFAULTS["M1"].name] == ["7d", "3months"]


def test_symbol_rule_overrides_general_rule(db: apsw.Connection) -> None:
    symbol, other = ensure(db), ensure(db, "XAUUSD")
    put(db, M1="1y")
    put(db, symbol, M1="2y", ticks="1d")
    kept = retention_rules.read_rules(db, symbol)
    assert [kept[what].name for what in ("ticks", "M1", "M5")] == ["1d", "2y", "forever"]
    assert [retention_rules.read_rules(db, other)[what].name for what in ("ticks", "M1")] == [
        "7d",
        "1y",
    ]
    assert retention_rules.list_symbols_with_rules(db) == {symbol.id}
    put(db, symbol, M1=None, ticks=None)
    assert retention_rules.read_rules(db, symbol) == retention_rules.read_rules(db)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"ticks": "1y"}, "ticks would be kept 1y and M1 only 3months"),
        ({"M1": "2y", "M5": "1y"}, "use M1=1y"),
        ({"H1": "5y"}, "use M5=5y M15=5y M30=5y"),
        ({"M2": "forever", "M5": "1y"}, "use M2=1y"),
        ({"W1": "1y", "MN1": "6months"}, "use M5=1y M15=1y M30=1y H1=1y H4=1y D1=1y"),
    ],
)
def test_finer_timeframe_may_not_be_kept_longer(
    db: apsw.Connection, rules: dict[str, str], reason: str
) -> None:
    with pytest.raises(BadPeriod, match=reason):
        put(db, **rules)
    assert retention_rules.read_rules(db) == dict.fromkeys(SUBJECTS, FOREVER) | DEFAULTS


@pytest.mark.parametrize(
    "rules",
    [
        {"M1": "forever"},
        {"M5": "1y"},
        {"M1": "1y", "M2": "1y", "M5": "1y"},
        {"M5": "90d", "M1": "90d"},
        dict.fromkeys(("M1", "M5", "M15", "M30", "H1"), "1y"),
    ],
)
def test_coarser_timeframe_may_be_kept_longer(db: apsw.Connection, rules: dict[str, str]) -> None:
    put(db, **rules)
    kept = retention_rules.read_rules(db)
    assert {what: kept[what].name for what in rules} == rules


def test_symbol_rule_may_not_contradict_general_rules(db: apsw.Connection) -> None:
    symbol = ensure(db)
    put(db, M5="1y")
    with pytest.raises(BadPeriod, match="M1 of EURUSD would be kept 2y"):
        put(db, symbol, M1="2y")


def test_cutoffs_of_months_and_days_stay_ordered(
    db: apsw.Connection,
) -> None:
    put(db, M1="91d", M5="3months")
    kept = retention_rules.read_rules(db)
    for month in range(1, 13):
        limits = retention_rules.cutoffs(kept, at(f"2023-{month:02}-28"))
        assert limits["M5"] <= limits["M1"]


@pytest.mark.parametrize("text", ["Ticks", "5m", "M5", "5", "1h", "D"])
def test_subject_accepts_every_spelling_of_timeframe(text: str) -> None:
    assert retention_rules.parse_subject(text) in SUBJECTS


def test_unknown_subject_is_refused() -> None:
    with pytest.raises(BadParameter, match="unknown timeframe"):
        retention_rules.parse_subject("M7")


def test_write_records_received_days_and_hour(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes(2, 1.9, 1), now=NOW + 100)
    assert marks(db) == ([], [(2, 0), (1, 0)])
    write(db, "EURUSD", "M1", minutes(2, 1.9, 1), now=NOW + 4000)
    assert marks(db) == ([], [(2, 0), (1, 0)])  # nothing was new
    write(db, "EURUSD", "M1", minutes(1.5), now=NOW + 4000)
    assert marks(db) == ([], [(2, HOUR), (1, 0)])
    write(db, "EURUSD", "M1", minutes(0.9), now=NOW - 5 * HOUR)  # its clock was set back
    assert marks(db) == ([], [(2, HOUR), (1, 0)])


def test_row_past_retention_records_backdated_day(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes(100), now=NOW - 50 * DAY)
    assert marks(db)[0] == []
    done = write(db, "EURUSD", "M1", minutes(201, 200.5, 99.9, 100, 90, 0), now=NOW)
    assert marks(db)[0] == [(0, 201)]
    assert done.backdated == (TODAY - 201 * DAY,)
    write(db, "EURUSD", "D1", [((TODAY - 300 * DAY, TODAY - 299 * DAY), FLAT)], now=NOW)
    assert marks(db)[0] == [(0, 201)]


def test_ticks_have_separate_backdated_days(db: apsw.Connection) -> None:
    symbol = ensure(db)
    times = [(TODAY - days * DAY) * 1000 for days in (9, 8, 6)]
    columns = ticks.Ticks(times, *[[1.0] * 3] * 3, [0.0] * 3, [6] * 3)
    with connection.transaction(db):
        done = ticks.write_ticks(db, symbol, columns, now=NOW)
    assert marks(db) == ([(31, 9), (31, 8)], [(9, 0), (8, 0), (6, 0)])
    assert done.backdated == (TODAY - 9 * DAY, TODAY - 8 * DAY)


def test_backdated_days_are_listed_while_they_have_rows(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes(400, 399, 200), now=NOW)
    symbol = symbols.read(db, "EURUSD")
    first, last = TODAY - 400 * DAY, TODAY - 200 * DAY
    assert backdated_days.list_backdated(db, symbol, NOW) == [
        BackdatedDays("EURUSD", "M1", 3, first, last)
    ]
    delete_range.delete_range(db, symbol, first, first + DAY)
    put(db, M1="300d")
    assert backdated_days.list_backdated(db, symbol, NOW) == [
        BackdatedDays("EURUSD", "M1", 1, first + DAY, first + DAY)
    ]


def test_backdated_days_are_counted_also_without_rows(
    db: apsw.Connection,
) -> None:
    """Until a prune deletes the records of those without."""
    write(db, "EURUSD", "M1", minutes(400, 399, 200), now=NOW)
    write(db, "OTHER", "M1", minutes(500), now=NOW)
    symbol = symbols.read(db, "EURUSD")
    first, last = TODAY - 400 * DAY, TODAY - 200 * DAY
    assert backdated_days.count_backdated(db, symbol, NOW) == backdated_days.list_backdated(
        db, symbol, NOW
    )
    delete_range.delete_range(db, symbol, first, first + DAY)
    assert backdated_days.count_backdated(db, symbol, NOW) == [
        BackdatedDays("EURUSD", "M1", 3, first, last)
    ]
    with connection.transaction(db):
        backdated_days.drop_empty_days(db, symbol)
    put(db, M1="300d")
    assert backdated_days.count_backdated(db, symbol, NOW) == [
        BackdatedDays("EURUSD", "M1", 1, first + DAY, first + DAY)
    ]
    put(db, M1="forever")
    assert backdated_days.count_backdated(db, symbol, NOW) == []


def test_sweep_removes_day_records_of_deleted_symbol(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", minutes(200), now=NOW)
    symbol = symbols.read(db, "EURUSD")
    put(db, symbol, M1="1y")
    with connection.transaction(db):
        symbols.delete(db, symbol)
    sweep.sweep_all(db)
    assert marks(db) == ([], [])
    assert retention_rules.list_symbols_with_rules(db) == set()
