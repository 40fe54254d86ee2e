-- From schema 2 to 3: the change log.

-- Spans that the last commits changed, for live streams and caches. A row with start = stop is a
-- reset: candles were deleted or the symbol was renamed, so all its candles must be read again.
CREATE TABLE change_log (
    change  INTEGER NOT NULL,            -- change number of the commit
    series  INTEGER NOT NULL,            -- series of the candles; coarser candles over them changed too
    start   INTEGER NOT NULL,
    stop    INTEGER NOT NULL CHECK (stop >= start),
    PRIMARY KEY (change, series, start, stop)
) STRICT, WITHOUT ROWID;

-- Earlier changes are unknown: every symbol starts with a reset.
INSERT INTO change_log (change, series, start, stop)
SELECT store.change, symbol.id * 32, 0, 0
FROM store
CROSS JOIN symbol;
