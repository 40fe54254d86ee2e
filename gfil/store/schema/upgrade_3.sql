-- From schema 2 to 3: the log of changes.

-- What the last commits touched, for those who follow live. Where start = stop candles have gone, or
-- the symbol has another name: all of it is to be read anew.
CREATE TABLE change_log (
    change  INTEGER NOT NULL,            -- of the commit
    series  INTEGER NOT NULL,            -- of the candles; longer ones that hold them changed too
    start   INTEGER NOT NULL,
    stop    INTEGER NOT NULL CHECK (stop >= start),
    PRIMARY KEY (change, series, start, stop)
) STRICT, WITHOUT ROWID;

-- Of what came before nothing is known.
INSERT INTO change_log (change, series, start, stop)
SELECT store.change, symbol.id * 32, 0, 0
FROM store
CROSS JOIN symbol;
