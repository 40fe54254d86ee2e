-- The schema of a new database. An upgraded older file has the same schema (upgrade_N.sql).
-- All times are UNIX seconds UTC. A bucket is [time, time + the timeframe's seconds + extra_s).

-- One row: the state of the database.
CREATE TABLE store (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    epoch   TEXT    NOT NULL,            -- random; replaced when earlier change numbers lose their meaning
    change  INTEGER NOT NULL             -- +1 for every commit that changes a candle, tick or symbol
) STRICT;

CREATE TABLE symbol (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused: rows of a deleted symbol may remain
    name         TEXT    NOT NULL COLLATE NOCASE UNIQUE CHECK (length(name) BETWEEN 1 AND 32),
    clock        TEXT    NOT NULL DEFAULT 'UTC',     -- clock of its charts
    description  TEXT    NOT NULL DEFAULT '',
    digits       INTEGER CHECK (digits BETWEEN 0 AND 8),             -- as set; NULL: use digits_seen
    digits_seen  INTEGER NOT NULL DEFAULT 0 CHECK (digits_seen BETWEEN 0 AND 8),
    price        TEXT    CHECK (price IN ('bid', 'ask', 'mid', 'last')),  -- NULL: last, else bid
    base         TEXT    NOT NULL DEFAULT '',        -- currency code, '' when unknown
    quote        TEXT    NOT NULL DEFAULT '',        -- currency code, '' when unknown
    change       INTEGER NOT NULL                    -- change number of its last commit
) STRICT;

-- Clocks other than UTC and the symbol's own that the symbol has stored candles on. H4 and D1 are
-- materialised on each of them.
CREATE TABLE symbol_clock (
    symbol_id  INTEGER NOT NULL REFERENCES symbol (id) ON DELETE CASCADE,
    clock      TEXT    NOT NULL,
    PRIMARY KEY (symbol_id, clock)
) STRICT, WITHOUT ROWID;

-- All candles. The key is the bucket, not the clock: a London day in winter is a UTC day.
CREATE TABLE candle (
    series   INTEGER NOT NULL,           -- symbol.id * 32 + the timeframe's number
    -- 1900 to 2099, and the buckets that overlap these limits
    time     INTEGER NOT NULL CHECK (time BETWEEN -2217628800 AND 4111084800),
    extra_s  INTEGER NOT NULL,           -- s; not 0 at clock changes and for months (usual length 30 days)
    open     REAL    NOT NULL,
    high     REAL    NOT NULL CHECK (high >= open AND high >= close AND high < 1e12),
    low      REAL    NOT NULL CHECK (low <= open AND low <= close AND low > -1e12),
    close    REAL    NOT NULL,
    volume   REAL    NOT NULL CHECK (volume >= 0 AND volume < 1e300),  -- may be a sum over any range
    kind     INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 2),  -- derived, stored, settled (IN is slower)
    PRIMARY KEY (series, time, extra_s)  -- the read order; no other index
) STRICT, WITHOUT ROWID;

-- Stored candles that finer candles prove were saved while forming. They return to `candle` when the
-- finer candles are deleted, so the result does not depend on the order of arrival.
CREATE TABLE superseded (
    series   INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    extra_s  INTEGER NOT NULL,
    open     REAL    NOT NULL,
    high     REAL    NOT NULL,
    low      REAL    NOT NULL,
    close    REAL    NOT NULL,
    volume   REAL    NOT NULL,
    PRIMARY KEY (series, time, extra_s)
) STRICT, WITHOUT ROWID;

-- Ticks, as MetaTrader 5 sends them; a missing number is 0. M1 candles are derived from them.
CREATE TABLE tick (
    symbol_id  INTEGER NOT NULL,
    time_msc   INTEGER NOT NULL CHECK (time_msc BETWEEN 0 AND 4102444800000),  -- UNIX ms UTC
    seq        INTEGER NOT NULL CHECK (seq >= 0),  -- position in its millisecond, in order of arrival
    bid        REAL    NOT NULL CHECK (bid > -1e12 AND bid < 1e12),
    ask        REAL    NOT NULL CHECK (ask > -1e12 AND ask < 1e12),
    last       REAL    NOT NULL CHECK (last > -1e12 AND last < 1e12),
    volume     REAL    NOT NULL CHECK (volume >= 0 AND volume < 1e15),
    flags      INTEGER NOT NULL CHECK (flags BETWEEN 0 AND 4294967295),
    PRIMARY KEY (symbol_id, time_msc, seq)  -- the order of roll-ups; no other index
) STRICT, WITHOUT ROWID;

-- Stored M1 candles that arrived before their minute had ended. Only these give way to ticks.
CREATE TABLE provisional (
    series  INTEGER NOT NULL,
    time    INTEGER NOT NULL,
    PRIMARY KEY (series, time)
) STRICT, WITHOUT ROWID;

-- Spans that the last commits changed, for live streams and caches. A row with start = stop is a
-- reset: candles were deleted or the symbol was renamed, so all its candles must be read again.
CREATE TABLE change_log (
    change  INTEGER NOT NULL,            -- change number of the commit
    series  INTEGER NOT NULL,            -- series of the candles; coarser candles over them changed too
    start   INTEGER NOT NULL,
    stop    INTEGER NOT NULL CHECK (stop >= start),
    PRIMARY KEY (change, series, start, stop)
) STRICT, WITHOUT ROWID;

-- API keys. The secret itself is not stored: a lost key is replaced by a new one.
CREATE TABLE api_key (
    id         TEXT    PRIMARY KEY CHECK (length(id) = 8),   -- the public part of the key
    name       TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    scope      TEXT    NOT NULL CHECK (scope IN ('read', 'write', 'admin')),
    digest     BLOB    NOT NULL CHECK (length(digest) = 32), -- SHA-256 of the whole key
    created    INTEGER NOT NULL,
    expires    INTEGER,                  -- NULL: never
    revoked    INTEGER,                  -- NULL: not revoked
    last_used  INTEGER                   -- first second of the day of its last use
) STRICT, WITHOUT ROWID;

-- Idempotency records: the first answer to each Idempotency-Key, sent again to repeated requests.
CREATE TABLE idempotency_record (
    key_id   TEXT    NOT NULL,           -- API key of the sender
    route    TEXT    NOT NULL,           -- method and path
    name     TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 255),  -- the Idempotency-Key
    digest   BLOB    NOT NULL CHECK (length(digest) = 32),  -- SHA-256 of the query and the body
    time     INTEGER NOT NULL,           -- time of the answer
    status   INTEGER NOT NULL CHECK (status BETWEEN 200 AND 299),  -- 202: unfinished
    answer   BLOB    NOT NULL,           -- the body, JSON; unfinished: the progress, JSON
    PRIMARY KEY (key_id, route, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_record_by_age ON idempotency_record (key_id, time);  -- finds a key's oldest records

-- Hourly statistics of ingest and reads, kept for 30 days.
CREATE TABLE hourly_stat (
    hour    INTEGER NOT NULL,            -- its first second
    kind    TEXT    NOT NULL,            -- kind of request: ticks, candles, reads, pages
    name    TEXT    NOT NULL,            -- 'took': requests; else rows: an outcome, or a reason
    bucket  INTEGER NOT NULL,            -- for 'took': duration up to 2^(bucket / 4) µs; else 0
    count   INTEGER NOT NULL,
    PRIMARY KEY (hour, kind, name, bucket)
) STRICT, WITHOUT ROWID;

-- Retention rules that differ from the defaults.
CREATE TABLE retention_rule (
    symbol_id  INTEGER NOT NULL,         -- 0: every symbol without a rule of its own
    subject    TEXT    NOT NULL,         -- a timeframe, or 'ticks'
    keep       TEXT    NOT NULL,         -- such as '7d', '3months', 'forever'
    PRIMARY KEY (symbol_id, subject)
) STRICT, WITHOUT ROWID;

-- Backdated days: every row was already past its retention when it arrived. Prune keeps these days.
CREATE TABLE backdated_day (
    series  INTEGER NOT NULL,            -- as candle.series; for ticks symbol.id * 32 + 31
    day     INTEGER NOT NULL,            -- its first second, UTC
    PRIMARY KEY (series, day)
) STRICT, WITHOUT ROWID;

-- Days of a symbol that received rows in the last 48 hours. Prune leaves them alone.
CREATE TABLE received_day (
    symbol_id  INTEGER NOT NULL,
    day        INTEGER NOT NULL,         -- its first second, UTC
    time       INTEGER NOT NULL,         -- hour of the last arrival
    PRIMARY KEY (symbol_id, day)
) STRICT, WITHOUT ROWID;

-- The last run of each maintenance task.
CREATE TABLE maintenance_run (
    name    TEXT    PRIMARY KEY,         -- prune, backup, doctor
    time    INTEGER NOT NULL,            -- start of the run
    report  TEXT    NOT NULL             -- JSON: its result
) STRICT, WITHOUT ROWID;

-- Files of the legacy system that were migrated and verified.
CREATE TABLE migrated_file (
    digest        BLOB    NOT NULL CHECK (length(digest) = 32),  -- SHA-256 of its content
    path          TEXT    NOT NULL,
    time          INTEGER NOT NULL,      -- time of the verification
    delete_after  INTEGER,               -- NULL: it is never deleted
    report        TEXT    NOT NULL,      -- JSON: its counts
    PRIMARY KEY (digest, path)
) STRICT, WITHOUT ROWID;

-- Deleted symbols. Their rows are removed in small batches.
CREATE TABLE deleted_symbol (
    id  INTEGER PRIMARY KEY              -- its former symbol.id
) STRICT;

-- M1 candles by symbol name, in the shape of the legacy table.
CREATE VIEW kline_1m (symbol, ts, open, high, low, close, volume) AS
SELECT symbol.name, candle.time, candle.open, candle.high, candle.low, candle.close, candle.volume
FROM symbol
JOIN candle ON candle.series = symbol.id * 32
WHERE candle.extra_s = 0;
