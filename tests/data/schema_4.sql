-- The database of GFIL, as a fresh file has it. An upgraded older file has the same (see db.py).
-- All times are UNIX seconds UTC. A bucket is [time, time + the timeframe's seconds + stretch).

-- One row: how far the database has come.
CREATE TABLE store (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    epoch   TEXT    NOT NULL,            -- random; new when change numbers lose their meaning
    change  INTEGER NOT NULL             -- +1 for every commit that changes a candle, tick or symbol
) STRICT;

CREATE TABLE symbol (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again: rows of a deleted one may linger
    name         TEXT    NOT NULL COLLATE NOCASE UNIQUE CHECK (length(name) BETWEEN 1 AND 32),
    clock        TEXT    NOT NULL DEFAULT 'UTC',     -- what its charts are drawn on
    description  TEXT    NOT NULL DEFAULT '',
    digits       INTEGER CHECK (digits BETWEEN 0 AND 8),             -- as set; NULL: take digits_seen
    digits_seen  INTEGER NOT NULL DEFAULT 0 CHECK (digits_seen BETWEEN 0 AND 8),
    price        TEXT    CHECK (price IN ('bid', 'ask', 'mid', 'last')),  -- NULL: last, else bid
    base         TEXT    NOT NULL DEFAULT '',        -- currencies, '' when unknown
    quote        TEXT    NOT NULL DEFAULT '',
    change       INTEGER NOT NULL                    -- of the last commit that touched it
) STRICT;

-- Clocks, UTC and the symbol's own apart, that a symbol has stored candles of: H4 and D1 are kept on them.
CREATE TABLE symbol_clock (
    symbol_id  INTEGER NOT NULL REFERENCES symbol (id) ON DELETE CASCADE,
    clock      TEXT    NOT NULL,
    PRIMARY KEY (symbol_id, clock)
) STRICT, WITHOUT ROWID;

-- Every candle there is. A candle is its bucket, not its clock: a London day in winter is a UTC day.
CREATE TABLE candle (
    series   INTEGER NOT NULL,           -- symbol.id * 32 + the timeframe's number
    -- 1900 to 2099, and the buckets that reach over the edges of that
    time     INTEGER NOT NULL CHECK (time BETWEEN -2217628800 AND 4111084800),
    stretch  INTEGER NOT NULL,           -- s; not 0 where a clock changes, and for months (30 days)
    open     REAL    NOT NULL,
    high     REAL    NOT NULL CHECK (high >= open AND high >= close AND high < 1e12),
    low      REAL    NOT NULL CHECK (low <= open AND low <= close AND low > -1e12),
    close    REAL    NOT NULL,
    volume   REAL    NOT NULL CHECK (volume >= 0 AND volume < 1e300),  -- a sum of any length
    kind     INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 2),  -- derived, stored, settled (IN is slow)
    PRIMARY KEY (series, time, stretch)  -- the order in which they are read; no other index
) STRICT, WITHOUT ROWID;

-- Stored candles that finer ones prove to have been saved while forming. They come back when the
-- finer ones go, so that the order of arrival does not matter.
CREATE TABLE yielded (
    series   INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    stretch  INTEGER NOT NULL,
    open     REAL    NOT NULL,
    high     REAL    NOT NULL,
    low      REAL    NOT NULL,
    close    REAL    NOT NULL,
    volume   REAL    NOT NULL,
    PRIMARY KEY (series, time, stretch)
) STRICT, WITHOUT ROWID;

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

-- What the last commits touched, for those who follow live. Where start = stop candles have gone, or
-- the symbol has another name: all of it is to be read anew.
CREATE TABLE change_log (
    change  INTEGER NOT NULL,            -- of the commit
    series  INTEGER NOT NULL,            -- of the candles; longer ones that hold them changed too
    start   INTEGER NOT NULL,
    stop    INTEGER NOT NULL CHECK (stop >= start),
    PRIMARY KEY (change, series, start, stop)
) STRICT, WITHOUT ROWID;

-- Keys of programs and people. The secret itself is nowhere: who has lost it makes another key.
CREATE TABLE api_key (
    id         TEXT    PRIMARY KEY CHECK (length(id) = 8),   -- the part of the key that names it
    name       TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    scope      TEXT    NOT NULL CHECK (scope IN ('read', 'write', 'admin')),
    digest     BLOB    NOT NULL CHECK (length(digest) = 32), -- SHA-256 of the whole key
    created    INTEGER NOT NULL,
    expires    INTEGER,                  -- NULL: never
    revoked    INTEGER,                  -- NULL: not
    last_used  INTEGER                   -- the day it was used last, as its first second
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

-- How long candles and ticks are kept, where that is not as it is by default.
CREATE TABLE retention (
    symbol_id  INTEGER NOT NULL,         -- 0: of every symbol that has no rule of its own
    what       TEXT    NOT NULL,         -- a timeframe, or 'ticks'
    keep       TEXT    NOT NULL,         -- such as '7d', '3months', 'forever'
    PRIMARY KEY (symbol_id, what)
) STRICT, WITHOUT ROWID;

-- Days of which all was older than its retention already when it came: somebody wants them.
CREATE TABLE imported_day (
    series  INTEGER NOT NULL,            -- as of candles; of ticks: symbol.id * 32 + 31
    day     INTEGER NOT NULL,            -- its first second, UTC
    PRIMARY KEY (series, day)
) STRICT, WITHOUT ROWID;

-- When a day of a symbol has got rows; forgotten after 48 hours, until then it is not pruned.
CREATE TABLE received_day (
    symbol_id  INTEGER NOT NULL,
    day        INTEGER NOT NULL,         -- its first second, UTC
    time       INTEGER NOT NULL,         -- within the hour
    PRIMARY KEY (symbol_id, day)
) STRICT, WITHOUT ROWID;

-- What was done last to keep the database well.
CREATE TABLE upkeep (
    name    TEXT    PRIMARY KEY,         -- prune, backup, doctor
    time    INTEGER NOT NULL,            -- when it was begun
    report  TEXT    NOT NULL             -- JSON: what it found or did
) STRICT, WITHOUT ROWID;

-- Files of the legacy system whose candles are here, verified.
CREATE TABLE migrated_file (
    digest        BLOB    NOT NULL CHECK (length(digest) = 32),  -- SHA-256 of its content
    path          TEXT    NOT NULL,
    time          INTEGER NOT NULL,      -- when it was verified
    delete_after  INTEGER,               -- NULL: it is never deleted
    report        TEXT    NOT NULL,      -- JSON: its counts
    PRIMARY KEY (digest, path)
) STRICT, WITHOUT ROWID;

-- Deleted symbols whose rows are still being removed, in small batches.
CREATE TABLE deleted_symbol (
    id  INTEGER PRIMARY KEY              -- the symbol.id it had
) STRICT;

-- For people who know the old table: 1-minute candles by name.
CREATE VIEW kline_1m (symbol, ts, open, high, low, close, volume) AS
SELECT symbol.name, candle.time, candle.open, candle.high, candle.low, candle.close, candle.volume
FROM symbol
JOIN candle ON candle.series = symbol.id * 32
WHERE candle.stretch = 0;
