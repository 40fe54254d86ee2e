-- The database of GFIL, as a fresh file has it. An upgraded older file has the same (see db.py).
-- All times are UNIX seconds UTC. A bucket is [time, time + the timeframe's seconds + stretch).

-- One row: how far the database has come.
CREATE TABLE store (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    epoch   TEXT    NOT NULL,            -- random; new when change numbers lose their meaning
    change  INTEGER NOT NULL             -- +1 for every commit that changes a candle or a symbol
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
    time     INTEGER NOT NULL CHECK (time BETWEEN -2208988800 AND 4102444800),
    stretch  INTEGER NOT NULL,           -- s; not 0 where a clock changes, and for months (30 days)
    open     REAL    NOT NULL,
    high     REAL    NOT NULL CHECK (high >= open AND high >= close AND high < 1e12),
    low      REAL    NOT NULL CHECK (low <= open AND low <= close AND low > -1e12),
    close    REAL    NOT NULL,
    volume   REAL    NOT NULL CHECK (volume >= 0 AND volume < 1e18),  -- a sum of many below 1e15
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
