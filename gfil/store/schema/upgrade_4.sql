-- From schema 3 to 4: retention, maintenance runs, migrated files. (Schema 5 renames tables.)

-- Retention rules that differ from the defaults.
CREATE TABLE retention (
    symbol_id  INTEGER NOT NULL,         -- 0: every symbol without a rule of its own
    what       TEXT    NOT NULL,         -- a timeframe, or 'ticks'
    keep       TEXT    NOT NULL,         -- such as '7d', '3months', 'forever'
    PRIMARY KEY (symbol_id, what)
) STRICT, WITHOUT ROWID;

-- Backdated days: every row was already past its retention when it arrived. Prune keeps these days.
CREATE TABLE imported_day (
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
CREATE TABLE upkeep (
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
