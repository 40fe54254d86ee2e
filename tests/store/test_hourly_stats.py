"""Hourly statistics: sums, periods, retention, latency buckets and quantiles."""

import random
from pathlib import Path

import pytest

from gfil.store import hourly_stats
from gfil.store.engine import connection
from gfil.store.hourly_stats import HourlyStat, Summary

HOUR = 1_700_006_400  # 2023-11-15T00:00Z
NOW = HOUR + 1800


def add(path: Path, *made: HourlyStat) -> None:
    db = connection.connect(path)
    with connection.transaction(db):
        hourly_stats.add(db, made)
    db.close()


def summaries(path: Path, start: float, now: float = NOW) -> tuple[int, dict[str, Summary]]:
    since, found = hourly_stats.summarise(connection.connect(path, readonly=True), start, now)
    return since, {summary.kind: summary for summary in found}


def test_summary_of_empty_database_is_zero(db_path: Path) -> None:
    since, found = summaries(db_path, HOUR)
    assert since == NOW
    assert list(found.values()) == [
        Summary(kind, 0, 0.0, {}, 0.0, None, None, None, {}) for kind in hourly_stats.KINDS
    ]


def test_counts_of_workers_and_hours_add_up(db_path: Path) -> None:
    for _ in range(2):
        add(
            db_path,
            HourlyStat(HOUR - 3600, "ticks", "took", 40, 1),
            HourlyStat(HOUR, "ticks", "took", 40, 2),
            HourlyStat(HOUR, "ticks", "inserted", 0, 900),
            HourlyStat(HOUR, "ticks", "rejected", 0, 9),
            HourlyStat(HOUR, "ticks", "future", 0, 8),
            HourlyStat(HOUR, "ticks", "low_high", 0, 1),
        )
    since, found = summaries(db_path, HOUR - 1)
    assert since == HOUR - 3600
    ticks = found["ticks"]
    assert (ticks.requests, ticks.requests_s) == (6, 6 / 5400)
    assert (ticks.rows, ticks.rows_s) == ({"inserted": 1800, "rejected": 18}, 1818 / 5400)
    assert ticks.reasons == {"future": 16, "low_high": 2}
    assert found["reads"].requests == 0


def test_period_starts_with_hour_of_start(db_path: Path) -> None:
    add(
        db_path,
        HourlyStat(HOUR - 3600, "reads", "took", 0, 5),
        HourlyStat(HOUR, "reads", "took", 0, 7),
    )
    assert summaries(db_path, HOUR - 1)[1]["reads"].requests == 12
    assert summaries(db_path, HOUR)[1]["reads"].requests == 7
    assert summaries(db_path, HOUR + 3599)[1]["reads"].requests == 7
    assert summaries(db_path, HOUR + 3600)[1]["reads"].requests == 0


def test_stats_log_no_change(db_path: Path) -> None:
    add(db_path, HourlyStat(HOUR, "reads", "took", 3, 1))
    assert connection.read_state(connection.connect(db_path, readonly=True))[1] == 0


def test_hours_are_dropped_after_thirty_days(db_path: Path) -> None:
    add(db_path, *(HourlyStat(HOUR + 3600 * n, "reads", "took", 0, 1) for n in range(10)))
    db = connection.connect(db_path)
    with connection.transaction(db):
        hourly_stats.drop_old(db, HOUR + 4 * 3600 + 30 * 86400)
    assert summaries(db_path, 0)[0] == HOUR + 3 * 3600  # it ended 30 days ago, not more


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(-1, 0), (0, 0), (1e-6, 0), (1.1e-6, 1), (2e-6, 4), (0.001, 40), (1, 80), (1e9, 120)],
)
def test_latency_bucket(seconds: float, bucket: int) -> None:
    assert hourly_stats.bucket_of(seconds) == bucket


def test_quantile_is_precise_to_one_bucket() -> None:
    drawn = random.Random("latencies")
    times = sorted(drawn.lognormvariate(-6, 1.2) for _ in range(10_000))
    took: dict[int, int] = {}
    for seconds in times:
        bucket = hourly_stats.bucket_of(seconds)
        took[bucket] = took.get(bucket, 0) + 1
    for part in (0.5, 0.95, 0.99):
        found_ms = hourly_stats.quantile_ms(took, part)
        assert found_ms is not None
        assert found_ms / 1000 == pytest.approx(times[int(part * 10_000) - 1], rel=0.1)


@pytest.mark.parametrize(("part", "bucket"), [(0.5, 8), (0.99, 8), (1, 8)])
def test_single_request_is_every_quantile(part: float, bucket: int) -> None:
    found_ms = hourly_stats.quantile_ms({bucket: 1}, part)
    assert found_ms is not None
    assert 2 ** ((bucket - 1) / 4) / 1e3 < found_ms <= 2 ** (bucket / 4) / 1e3
    assert hourly_stats.quantile_ms({}, part) is None
