"""Hourly statistics: counts of requests and rows, latencies, reasons of refusals."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

import apsw

from gfil.store.engine import connection
from gfil.timeframes import DAY, HOUR

KINDS = ("ticks", "candles", "reads", "pages")
OUTCOMES = ("inserted", "updated", "unchanged", "kept", "duplicates", "rejected")
TOOK = "took"
RETENTION_S = 30 * DAY
BUCKETS_PER_DOUBLING = 4  # so a latency is precise to 19 %
BUCKET_MAX = 120  # 2^30 µs: 18 minutes


@dataclass(frozen=True, slots=True)
class HourlyStat:
    """One count of one hour; `schema.sql` explains the columns."""

    hour: int
    kind: str
    name: str
    bucket: int
    count: int


def bucket_of(seconds: float) -> int:
    """Return the bucket of a latency: the first with an upper bound of at least the latency."""
    if seconds <= 1e-6:
        return 0
    return min(math.ceil(BUCKETS_PER_DOUBLING * math.log2(1e6 * seconds)), BUCKET_MAX)


ADD = """
INSERT INTO hourly_stat (hour, kind, name, bucket, count)
VALUES (:hour, :kind, :name, :bucket, :count)
ON CONFLICT (hour, kind, name, bucket) DO UPDATE
SET count = count + excluded.count
"""


def add(db: apsw.Connection, stats: Iterable[HourlyStat]) -> None:
    """Add counts to the hours they belong to; inside a transaction. No change is logged."""
    db.executemany(ADD, [asdict(stat) for stat in stats])


DROP_OLD = "DELETE FROM hourly_stat WHERE hour < :before"


def drop_old(db: apsw.Connection, now: float) -> None:
    """Delete the hours that ended more than 30 days ago; inside a transaction."""
    db.execute(DROP_OLD, {"before": int(now) - RETENTION_S - HOUR})


class Summary(NamedTuple):
    """Statistics of one kind of request over a period; `rows` are by outcome, rates per second.

    Latencies are percentiles, None without requests.
    """

    kind: str
    requests: int
    requests_s: float
    rows: dict[str, int]
    rows_s: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    reasons: dict[str, int]


READ_FIRST_HOUR = "SELECT MIN(hour) FROM hourly_stat WHERE hour >= :start"
READ = """
SELECT kind, name, bucket, SUM(count)
FROM hourly_stat
WHERE hour >= :start
GROUP BY kind, name, bucket
ORDER BY kind, name, bucket
"""


def summarise(db: apsw.Connection, start: float, now: float) -> tuple[int, list[Summary]]:
    """Return the first second of the statistics since `start`, and a summary of each kind.

    The first second is the start of an hour: that of `start`, or the first later one with counts.
    """
    hour = {"start": int(start) // HOUR * HOUR}
    first = connection.query_one(db, READ_FIRST_HOUR, hour)
    since = int(now) if first is None else first
    found: dict[str, dict[str, dict[int, int]]] = {kind: {} for kind in KINDS}
    for kind, name, bucket, count in connection.query_all(db, READ, hour):
        found.setdefault(kind, {}).setdefault(name, {})[bucket] = count
    length_s = max(now - since, 1.0)
    return since, [_summarise(kind, counts, length_s) for kind, counts in found.items()]


def _summarise(kind: str, counts: Mapping[str, Mapping[int, int]], length_s: float) -> Summary:
    took = counts.get(TOOK, {})
    totals = {name: sum(buckets.values()) for name, buckets in counts.items() if name != TOOK}
    rows = {name: totals.pop(name) for name in OUTCOMES if name in totals}
    requests = sum(took.values())
    return Summary(
        kind,
        requests,
        requests / length_s,
        rows,
        sum(rows.values()) / length_s,
        quantile_ms(took, 0.5),
        quantile_ms(took, 0.95),
        quantile_ms(took, 0.99),
        totals,
    )


def quantile_ms(took: Mapping[int, int], part: float) -> float | None:
    """Return the latency that this part of the requests did not exceed; None without requests.

    Latencies within a bucket count as evenly distributed on a logarithmic scale.
    """
    rank = part * sum(took.values())
    below = 0
    for bucket in sorted(took):
        if below + took[bucket] >= rank > 0:
            exact = bucket - 1 + (rank - below) / took[bucket]
            return float(2 ** (exact / BUCKETS_PER_DOUBLING)) / 1e3
        below += took[bucket]
    return None
