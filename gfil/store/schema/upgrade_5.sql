-- From schema 4 to 5: tables and columns have plain names.

ALTER TABLE yielded RENAME TO superseded;
ALTER TABLE early RENAME TO provisional;
ALTER TABLE figure RENAME TO hourly_stat;
ALTER TABLE imported_day RENAME TO backdated_day;
ALTER TABLE upkeep RENAME TO maintenance_run;
ALTER TABLE request RENAME TO idempotency_record;
ALTER TABLE retention RENAME TO retention_rule;

ALTER TABLE candle RENAME COLUMN stretch TO extra_s;
ALTER TABLE superseded RENAME COLUMN stretch TO extra_s;
ALTER TABLE tick RENAME COLUMN place TO seq;
ALTER TABLE retention_rule RENAME COLUMN what TO subject;

DROP INDEX request_by_age;
CREATE INDEX idempotency_record_by_age ON idempotency_record (key_id, time);

-- ALTER TABLE writes the new name in quotes (sqlite.org/lang_altertable.html). Without them an
-- upgraded file has the same schema text as a new one.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema
SET sql = replace(sql, 'CREATE TABLE "' || name || '"', 'CREATE TABLE ' || name)
WHERE type = 'table';
PRAGMA writable_schema = RESET;
