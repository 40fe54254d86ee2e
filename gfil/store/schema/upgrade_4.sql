-- From schema 3 to 4: retention, upkeep, migrated files.

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
