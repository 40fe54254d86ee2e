"""Hourly figures: how many requests and rows there were, how long they took, what was refused."""

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
KEPT_S = 30 * DAY
BUCKETS_PER_DOUBLING = 4  # a latency is known to within a fifth
BUCKET_MAX = 120  # a quarter of an hour; nothing takes longer


@dataclass(frozen=True, slots=True)
class HourlyStat:
    """How often something came in one hour; the columns are explained in `schema.sql`."""

    hour: int
    kind: str
    name: str
    bucket: int
    count: int


def bucket_of(seconds: float) -> int:
    """Return the bucket of a latency: the first whose bound is not below it."""
    if seconds <= 1e-6:
        return 0
    return min(math.ceil(BUCKETS_PER_DOUBLING * math.log2(1e6 * seconds)), BUCKET_MAX)


ADD = """
INSERT INTO hourly_stat (hour, kind, name, bucket, count)
VALUES (:hour, :kind, :name, :bucket, :count)
ON CONFLICT (hour, kind, name, bucket) DO UPDATE SET count = count + excluded.count
"""


def add(db: apsw.Connection, figures: Iterable[HourlyStat]) -> None:
    """Add to what is known of these hours. Inside a transaction; no change is counted."""
    db.executemany(ADD, [asdict(figure) for figure in figures])


DROP_OLD = "DELETE FROM hourly_stat WHERE hour < :before"


def drop_old(db: apsw.Connection, now: float) -> None:
    """Forget the hours that ended more than 30 days ago. Inside a transaction."""
    db.execute(DROP_OLD, {"before": int(now) - KEPT_S - HOUR})


FIRST_HOUR = "SELECT MIN(hour) FROM hourly_stat WHERE hour >= :start"

READ = """
SELECT kind, name, bucket, SUM(count)
FROM hourly_stat
WHERE hour >= :start
GROUP BY kind, name, bucket
ORDER BY kind, name, bucket
"""


class Summary(NamedTuple):
    """What a period brought of one kind; rates are per second, `rows` by outcome.

    A latency is what that part of the requests took at most, None where there were none.
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


def summarise(db: apsw.Connection, start: float, now: float) -> tuple[int, list[Summary]]:
    """Return the first second the figures tell of, and a summary of each kind since then.

    That is the start of the hour `start` lies in, or of the first hour known after it.
    """
    hour = {"start": int(start) // HOUR * HOUR}
    first = connection.query_one(db, FIRST_HOUR, hour)
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
    """Return the latency that this part of the requests did not exceed, None of none.

    Within a bucket they are taken to lie evenly on the scale of its logarithm.
    """
    wanted = part * sum(took.values())
    seen = 0
    for bucket in sorted(took):
        if seen + took[bucket] >= wanted > 0:
            place = bucket - 1 + (wanted - seen) / took[bucket]
            return float(2 ** (place / BUCKETS_PER_DOUBLING)) / 1e3
        seen += took[bucket]
    return None
