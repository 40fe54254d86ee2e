"""Tests of gfil/maintenance/gaps.py and gfil/store/candles/expected_minutes.py."""

import random
from collections.abc import Collection, Iterable
from pathlib import Path

import apsw
import pytest

from gfil import clocks, timeframes
from gfil.clocks import UTC, Clock
from gfil.errors import BadParameter
from gfil.ingest import file_import
from gfil.ingest.options import Options
from gfil.ingest.source import files
from gfil.maintenance import gaps
from gfil.store import symbol_settings, symbols
from gfil.store.candles import expected_minutes
from gfil.store.candles import write as candle_write
from gfil.store.candles.write import CandleColumns
from gfil.store.engine import connection
from gfil.timeframes import DAY, HOUR, MINUTE, WEEK

MONDAY = 1735516800  # 2024-12-30T00:00Z
LATER = MONDAY + 520 * WEEK
OPENS = 9 * HOUR  # of the market in most tests: half an hour, Monday to Friday
MINUTES = 30


def at(text: str) -> int:
    return clocks.parse_instant(text)


def session(day: int, wall: Clock = UTC, minutes: int = MINUTES) -> list[int]:
    """Minutes of the day that starts at wall time `day`."""
    opens = wall.first_instant(day + OPENS)
    return [*range(opens, opens + minutes * MINUTE, MINUTE)]


def trade(
    weeks: Iterable[int], wall: Clock = UTC, monday: int = MONDAY, minutes: int = MINUTES
) -> list[int]:
    """All minutes of the weeks with these numbers."""
    days = (monday + week * WEEK + day * DAY for week in weeks for day in range(5))
    return [time for day in days for time in session(day, wall, minutes)]


def write(
    db: apsw.Connection, times: Collection[int], tf: str = "M1", clock: str = "UTC"
) -> symbols.Symbol:
    """Symbol with candles at these times, on a clock."""
    with connection.transaction(db):
        symbol = symbols.ensure(db, "X")
        column = [1.0] * len(times)
        rows = CandleColumns(sorted(times), [0] * len(times), *[column] * 5)
        candle_write.write_candles(db, symbol, timeframes.parse(tf), rows)
        return symbol_settings.update_settings(db, symbol, {"clock": clock})


def find(
    connection: apsw.Connection,
    times: Collection[int],
    start: int | None = None,
    stop: int | None = None,
    *,
    clock: str = "UTC",
    now: float = LATER,
) -> list[tuple[int, int]]:
    """Gaps of a symbol with M1 at these times."""
    symbol = write(connection, times, clock=clock)
    return [*gaps.find(connection, symbol, start, stop, now=now)]


def test_missing_minutes_in_one_of_nine_weeks_are_a_gap(db: apsw.Connection) -> None:
    tuesday = session(MONDAY + 4 * WEEK + DAY)
    kept = set(trade(range(9))) - set(tuesday[10:20])
    (gap,) = gaps.find(db, write(db, kept), now=LATER)
    assert gap == (tuesday[10], tuesday[20])
    assert gap.named("X") == {"symbol": "X", "from": gap[0], "to": gap[1], "minutes": 10}


@pytest.mark.parametrize(("minutes", "count"), [(1, 0), (4, 0), (5, 1), (6, 1)])
def test_gap_has_at_least_five_minutes(db: apsw.Connection, minutes: int, count: int) -> None:
    hole = session(MONDAY + 4 * WEEK)[7 : 7 + minutes]
    found = find(db, set(trade(range(9))) - set(hole))
    assert found == [(hole[0], hole[-1] + MINUTE)] * count


def test_missing_day_is_a_gap_and_nights_and_weekends_are_not(db: apsw.Connection) -> None:
    friday = session(MONDAY + 6 * WEEK + 4 * DAY)
    assert find(db, set(trade(range(9))) - set(friday)) == [(friday[0], friday[-1] + MINUTE)]


def test_gap_over_the_end_of_a_week_is_joined(db: apsw.Connection) -> None:
    """Market that never closes, without one hour around Sunday midnight."""
    around = range(-3 * HOUR, 3 * HOUR, MINUTE)
    times = {MONDAY + week * WEEK + second for week in range(1, 6) for second in around}
    midnight = MONDAY + 3 * WEEK
    times -= {*range(midnight - 3 * MINUTE, midnight + 4 * MINUTE, MINUTE)}
    assert find(db, times) == [(midnight - 3 * MINUTE, midnight + 4 * MINUTE)]


@pytest.mark.parametrize(("weeks", "is_usual"), [(3, False), (4, True)])
def test_minute_is_expected_if_half_of_eight_weeks_have_it(
    db: apsw.Connection, weeks: int, is_usual: bool
) -> None:
    """Some Mondays have 15 more minutes than the checked one."""
    close = session(MONDAY + 4 * WEEK)[-1] + MINUTE
    longer = (close + far * WEEK for far in (-4, -2, 1, 3)[:weeks])
    extra = [time + n * MINUTE for time in longer for n in range(15)]
    found = find(db, [*trade(range(9)), *extra], close, close + HOUR)
    assert found == [(close, close + 15 * MINUTE)] * is_usual


def test_only_the_nearest_eight_weeks_count(db: apsw.Connection) -> None:
    """The market traded on Saturdays until the eighth week only."""
    saturdays = [time for week in range(8) for time in session(MONDAY + week * WEEK + 5 * DAY)]
    found = find(db, [*trade(range(20)), *saturdays])
    first, last = found[0][0], found[-1][1]
    assert first == saturdays[0] + 8 * WEEK
    assert last == first + MINUTES * MINUTE  # in the ninth week four of eight weeks still have them


@pytest.mark.parametrize(("weeks", "count"), [(1, 0), (2, 0), (3, 1), (4, 1)])
def test_fewer_than_two_other_weeks_expect_no_minute(
    db: apsw.Connection, weeks: int, count: int
) -> None:
    hole = session(MONDAY + 2 * DAY)[5:15]
    assert len(find(db, set(trade(range(weeks))) - set(hole))) == count


def test_partial_week_expects_no_minute_of_its_missing_part(db: apsw.Connection) -> None:
    """History since a Wednesday: three Mondays, two of them complete."""
    times = [time for time in trade(range(4)) if time >= MONDAY + 2 * DAY]
    hole = session(MONDAY + 2 * WEEK)[5:15]
    assert find(db, set(times) - set(hole)) == [(hole[0], hole[-1] + MINUTE)]


def test_no_gap_before_the_first_minute(db: apsw.Connection) -> None:
    times = trade(range(9))[12:]
    assert find(db, times, MONDAY - 10 * WEEK) == []


def test_gap_after_the_last_minute_extends_to_now(db: apsw.Connection) -> None:
    times = trade(range(9))[:-20]
    first = times[-1] + MINUTE
    for seconds, minutes in ((4 * 60, 0), (5 * 60 - 1, 0), (5 * 60, 5), (6 * 60 + 59, 6)):
        wanted = [(first, first + minutes * MINUTE)] * (minutes > 0)
        assert find(db, times, now=first + seconds) == wanted
    monday = session(MONDAY + 9 * WEEK)
    rest = (first, first + 20 * MINUTE)
    now = monday[-1] + MINUTE
    assert find(db, times, now=now) == [rest, (monday[0], now)]
    assert find(db, times, stop=monday[0], now=now) == [rest]


def test_ended_symbol_has_no_gap_after_its_end(db: apsw.Connection) -> None:
    times = trade(range(9), monday=at("2024-06-03"))[:-20]
    end = times[-1] + MINUTE
    assert len(find(db, times, now=end + 4 * WEEK)) == 21
    assert find(db, times, now=end + 4 * WEEK + 1) == []
    assert find(db, times, stop=end + 4 * WEEK, now=LATER) == []


def test_long_outage_is_a_gap_on_each_day(db: apsw.Connection) -> None:
    """Weeks without candles do not change the expected minutes."""
    days = [MONDAY + week * WEEK + day * DAY for week in range(4, 30) for day in range(5)]
    wanted = [(session(day)[0], session(day)[-1] + MINUTE) for day in days]
    assert find(db, trade([*range(4), *range(30, 34)])) == wanted


def test_range_cuts_gaps_at_its_ends(db: apsw.Connection) -> None:
    first, second = session(MONDAY + 3 * WEEK)[5:25], session(MONDAY + 4 * WEEK)[5:25]
    times = set(trade(range(9))) - {*first, *second}
    middle = first[9]
    assert find(db, times, middle) == [(middle, first[-1] + 60), (second[0], second[-1] + 60)]
    assert find(db, times, middle - 59, second[4] + 1) == [
        (middle, first[-1] + MINUTE),
        (second[0], second[4] + MINUTE),
    ]
    assert find(db, times, stop=first[4]) == []
    assert find(db, times, middle, middle) == []
    assert find(db, times, LATER, LATER + WEEK) == []


def test_no_read_stays_open_while_the_caller_pauses(db_path: Path, db: apsw.Connection) -> None:
    """Between two gaps other connections can write and checkpoint."""
    times = trade(range(9))
    symbol = write(db, set(times) - {*session(MONDAY + WEEK), *session(MONDAY + 7 * WEEK)})
    reader = connection.connect(db_path, readonly=True)
    found = gaps.find(reader, symbol, now=LATER)
    assert next(found).start == session(MONDAY + WEEK)[0]
    write(db, session(MONDAY + 30 * WEEK))
    busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").get
    assert not busy
    assert [gap.start for gap in found] == [session(MONDAY + 7 * WEEK)[0]]


def test_range_that_ends_before_its_start_is_refused(db: apsw.Connection) -> None:
    with pytest.raises(BadParameter, match="from is after to"):
        find(db, trade(range(3)), MONDAY + 1, MONDAY)


@pytest.mark.parametrize("tf", ["M5", "H1", "D1"])
def test_symbol_without_minutes_has_no_gaps(db: apsw.Connection, tf: str) -> None:
    """A symbol without any rows."""
    days = [MONDAY + day * DAY for day in range(60) if day != 30]
    assert [*gaps.find(db, write(db, days, tf), now=LATER)] == []
    with_none = write(db, [], tf)
    assert [*gaps.find(db, with_none, now=LATER)] == []


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("2024-03-10", id="America, spring"),
        pytest.param("2024-03-31", id="Europe, spring"),
        pytest.param("2024-10-27", id="Europe, autumn"),
        pytest.param("2024-11-03", id="America, autumn"),
    ],
)
@pytest.mark.parametrize(
    "wall", ["UTC", "America/New_York", "America/Chicago", "Europe/Berlin", "Asia/Tokyo"]
)
def test_market_hours_may_follow_any_summer_time(
    db: apsw.Connection, wall: str, change: str
) -> None:
    """Seven weeks before and after the change, with a gap on the Monday after it."""
    monday, market = at(change) + DAY, clocks.parse(wall)
    every = trade(range(-7, 7), market, monday)
    assert find(db, every) == []


@pytest.mark.parametrize("wall", ["UTC", "America/New_York", "Europe/Berlin"])
def test_gaps_around_a_clock_change_are_found_whole(db: apsw.Connection, wall: str) -> None:
    """Gaps on the days around each change of one spring, except in the first or last hour.

    There the walls disagree for a few weeks, and no gap is better than a false one.
    """
    market = clocks.parse(wall)
    days = [at(day) for day in ("2024-03-08", "2024-03-11", "2024-03-29", "2024-04-01")]
    holes = [(session(day, market, 180)[60], session(day, market, 180)[120]) for day in days]
    gone = {time for hole in holes for time in range(*hole, MINUTE)}
    assert find(db, set(trade(range(-9, 9), market, days[1], 180)) - gone) == holes


def test_clock_of_the_symbol_gives_its_summer_time(db: apsw.Connection) -> None:
    """Sydney leaves summer time in April."""
    wall = clocks.parse("Australia/Sydney")
    times = trade(range(-7, 7), wall, at("2024-04-08"))
    assert find(db, times) != []
    assert find(db, times, clock="Australia/Sydney") == []


def expects(
    wall: Clock, times: set[int], weeks: set[int], first: int, last: int, time: int
) -> bool:
    """Return whether at least half of the nearest eight weeks have a minute."""
    week = timeframes.W1.floor(time)
    told = has = 0
    nearest = sorted(weeks - {week}, key=lambda other: (abs(other - week), other))
    for other in nearest[:8]:
        same = wall.instants(wall.wall(time) + other - week)
        told += any(first <= instant <= last for instant in same)
        has += any(instant in times for instant in same)
    return told >= 2 and 2 * has >= told


def reference(times: set[int], walls: list[Clock]) -> list[tuple[int, int]]:
    """Gaps by the definition, minute by minute."""
    apart = [
        week + hour for week in range(-12 * WEEK, 13 * WEEK, WEEK) for hour in (-HOUR, 0, HOUR)
    ]
    first, last = min(times), max(times)
    near = {time + far for time in times for far in apart if first < time + far < last} - times
    known = times, {timeframes.W1.floor(time) for time in times}, first, last
    missing = [time for time in sorted(near) if all(expects(wall, *known, time) for wall in walls)]
    runs: list[list[int]] = []
    for time in missing:
        if not runs or runs[-1][1] != time:
            runs.append([time, time])
        runs[-1][1] += MINUTE
    return [(start, stop) for start, stop in runs if stop - start >= 5 * MINUTE]


@pytest.mark.parametrize("seed", range(6))
def test_gaps_equal_the_definition_minute_by_minute(db: apsw.Connection, seed: int) -> None:
    """Twelve weeks around a clock change, with gaps and rarely traded minutes."""
    drawn = random.Random(f"gaps {seed}")
    wall = clocks.parse(drawn.choice(["UTC", "America/New_York", "Europe/London"]))
    monday = at(drawn.choice(["2024-03-11", "2024-04-01", "2024-10-28", "2024-11-04"]))
    every = trade(range(-6, 6), wall, monday)
    share = drawn.choice([0.5, 0.7, 0.95])
    times = {time for time in every if drawn.random() < share}
    for _ in range(12):
        hole = drawn.choice(every)
        times -= {*range(hole, hole + drawn.randrange(3, 400) * drawn.choice((60, 600)), MINUTE)}
    walls = [UTC, *map(clocks.parse, [*expected_minutes.WALLS, "Asia/Tokyo"])]
    found = find(db, times, stop=max(times), clock="Asia/Tokyo")
    assert found == reference(times, walls)


def load(path: Path, source: Path, clock: str) -> None:
    outcome = file_import.Outcome(path, False)
    options = Options(clock=clocks.parse(clock))
    file_import.load_all(path, files.find([str(source)]), options, outcome, now=LATER)
    assert outcome.exit_status == 0


def test_gaps_of_a_broker_month_are_its_missing_hours(
    db_path: Path, db: apsw.Connection, shared_hours: Path
) -> None:
    load(db_path, shared_hours / "histdata/DAT_ASCII_EURUSD_M1_202306.csv.gz", "America/New_York")
    symbol = symbols.read(db, "EURUSD")
    held = {time for (time,) in db.execute(expected_minutes.READ_MINUTES, span_of(symbol))}
    found = [*gaps.find(db, symbol, now=LATER)]
    gone = {time for gap in found for time in range(*gap, MINUTE)}
    assert [time for time in sorted(gone) if time in held or not is_open(time)] == []
    hours = range(min(held), max(held) - HOUR, HOUR)
    full = {hour for hour in hours if held.issuperset(range(hour, hour + HOUR, MINUTE))}
    missed = [
        hour
        for hour in hours
        if held.isdisjoint(range(hour, hour + HOUR, MINUTE))
        and sum(hour + week * WEEK in full for week in (-3, -2, -1, 1, 2, 3)) >= 2
    ]
    assert len(missed) == 31
    assert [hour for hour in missed if not gone.issuperset(range(hour, hour + HOUR, MINUTE))] == []


def span_of(symbol: symbols.Symbol) -> dict[str, int]:
    return {"series": symbol.series(0), "start": 0, "stop": LATER}


def is_open(time: int) -> bool:
    """Return whether currencies trade: Sunday 17:00 to Friday 17:00 in New York."""
    wall = clocks.parse("America/New_York").wall(time)
    return (wall - 3 * DAY - 17 * HOUR) % WEEK < 5 * DAY


def test_broker_data_has_no_gap_at_clock_changes(
    db_path: Path, db: apsw.Connection, shared_hours: Path
) -> None:
    """Seven weeks with the American change in the fourth and the European in the sixth."""
    load(db_path, shared_hours / "eurusd_utc_multitf/EURUSD1.csv.gz", "UTC")
    found = [*gaps.find(db, symbols.read(db, "EURUSD"), now=LATER)]
    print([(clocks.format_instant(g.start), g.minutes) for g in found])
    assert sum(gap.minutes for gap in found) < 60
