-- From schema 1 to 2: ticks, idempotency records, hourly statistics. (Schema 5 renames tables.)

-- Ticks, as MetaTrader 5 sends them; a missing number is 0. M1 candles are derived from them.
CREATE TABLE tick (
    symbol_id  INTEGER NOT NULL,
    time_msc   INTEGER NOT NULL CHECK (time_msc BETWEEN 0 AND 4102444800000),  -- UNIX ms UTC
    place      INTEGER NOT NULL CHECK (place >= 0),  -- position in its millisecond
    bid        REAL    NOT NULL CHECK (bid > -1e12 AND bid < 1e12),
    ask        REAL    NOT NULL CHECK (ask > -1e12 AND ask < 1e12),
    last       REAL    NOT NULL CHECK (last > -1e12 AND last < 1e12),
    volume     REAL    NOT NULL CHECK (volume >= 0 AND volume < 1e15),
    flags      INTEGER NOT NULL CHECK (flags BETWEEN 0 AND 4294967295),
    PRIMARY KEY (symbol_id, time_msc, place)  -- the order of roll-ups; no other index
) STRICT, WITHOUT ROWID;

-- Stored M1 candles that arrived before their minute had ended. Only these give way to ticks.
CREATE TABLE early (
    series  INTEGER NOT NULL,
    time    INTEGER NOT NULL,
    PRIMARY KEY (series, time)
) STRICT, WITHOUT ROWID;

-- Idempotency records: the first answer to each Idempotency-Key, sent again to repeated requests.
CREATE TABLE request (
    key_id   TEXT    NOT NULL,           -- API key of the sender
    route    TEXT    NOT NULL,           -- method and path
    name     TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 255),  -- the Idempotency-Key
    digest   BLOB    NOT NULL CHECK (length(digest) = 32),  -- SHA-256 of the query and the body
    time     INTEGER NOT NULL,           -- time of the answer
    status   INTEGER NOT NULL CHECK (status BETWEEN 200 AND 299),
    answer   BLOB    NOT NULL,           -- the body, JSON
    PRIMARY KEY (key_id, route, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX request_by_age ON request (key_id, time);  -- finds a key's oldest records

-- Hourly statistics of ingest and reads, kept for 30 days.
CREATE TABLE figure (
    hour    INTEGER NOT NULL,            -- its first second
    kind    TEXT    NOT NULL,            -- kind of request: ticks, candles, reads, pages
    name    TEXT    NOT NULL,            -- 'took': requests; else rows: an outcome, or a reason
    bucket  INTEGER NOT NULL,            -- for 'took': duration up to 2^(bucket / 4) µs; else 0
    count   INTEGER NOT NULL,
    PRIMARY KEY (hour, kind, name, bucket)
) STRICT, WITHOUT ROWID;

-- A CHECK is text in the schema only, so it may be replaced there (sqlite.org/lang_altertable.html).
-- The sum of a day's volumes may exceed the old limit, and a bucket of another clock may start
-- before 1900.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema
SET sql = replace(
    replace(sql, 'volume < 1e18', 'volume < 1e300'),
    '-2208988800 AND 4102444800', '-2217628800 AND 4111084800'
)
WHERE type = 'table' AND name = 'candle';
PRAGMA writable_schema = RESET;
