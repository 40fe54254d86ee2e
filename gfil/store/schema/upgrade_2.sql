-- From schema 1 to 2: ticks, answers to be repeated, hourly figures.

-- Ticks, as MetaTrader 5 gives them; a missing number is 0. M1 are derived from them.
CREATE TABLE tick (
    symbol_id  INTEGER NOT NULL,
    time_msc   INTEGER NOT NULL CHECK (time_msc BETWEEN 0 AND 4102444800000),  -- UNIX ms UTC
    place      INTEGER NOT NULL CHECK (place >= 0),  -- among those of its millisecond, as they came
    bid        REAL    NOT NULL CHECK (bid > -1e12 AND bid < 1e12),
    ask        REAL    NOT NULL CHECK (ask > -1e12 AND ask < 1e12),
    last       REAL    NOT NULL CHECK (last > -1e12 AND last < 1e12),
    volume     REAL    NOT NULL CHECK (volume >= 0 AND volume < 1e15),
    flags      INTEGER NOT NULL CHECK (flags BETWEEN 0 AND 4294967295),
    PRIMARY KEY (symbol_id, time_msc, place)  -- the order in which they are folded; no other index
) STRICT, WITHOUT ROWID;

-- Stored M1 that came before their minute had ended: they alone may give way to ticks.
CREATE TABLE early (
    series  INTEGER NOT NULL,
    time    INTEGER NOT NULL,
    PRIMARY KEY (series, time)
) STRICT, WITHOUT ROWID;

-- The first answers to requests that carried an Idempotency-Key, to be given again.
CREATE TABLE request (
    key_id   TEXT    NOT NULL,           -- of the API key that sent it
    route    TEXT    NOT NULL,           -- method and path
    name     TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 255),  -- the Idempotency-Key
    digest   BLOB    NOT NULL CHECK (length(digest) = 32),  -- SHA-256 of the query and the body
    time     INTEGER NOT NULL,           -- when it was answered
    status   INTEGER NOT NULL CHECK (status BETWEEN 200 AND 299),
    answer   BLOB    NOT NULL,           -- the body, JSON
    PRIMARY KEY (key_id, route, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX request_by_age ON request (key_id, time);  -- the oldest of a key go first

-- What was done and how long it took, hour by hour, kept for 30 days.
CREATE TABLE figure (
    hour    INTEGER NOT NULL,            -- its first second
    kind    TEXT    NOT NULL,            -- of requests: ticks and candles taken in, reads, pages
    name    TEXT    NOT NULL,            -- 'took': requests; else rows: an outcome, or a reason
    bucket  INTEGER NOT NULL,            -- of 'took': they took 2^(bucket / 4) µs at most; else 0
    count   INTEGER NOT NULL,
    PRIMARY KEY (hour, kind, name, bucket)
) STRICT, WITHOUT ROWID;

-- A CHECK says nothing of what lies in the file: it may be changed where it is written
-- (sqlite.org/lang_altertable.html). The sum of a day's volumes could be beyond the old bound, and
-- a bucket of another clock begin before 1900.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema
SET sql = replace(
    replace(sql, 'volume < 1e18', 'volume < 1e300'),
    '-2208988800 AND 4102444800', '-2217628800 AND 4111084800'
)
WHERE type = 'table' AND name = 'candle';
PRAGMA writable_schema = RESET;
