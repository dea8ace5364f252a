-- name: free_limits
-- Changing tables may take longer than changing rows; for this transaction only.
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = '60s';
SET LOCAL lock_timeout = '10s';

-- name: lock_migrations
-- Two processes that start at once: one changes the tables, the other waits, then finds nothing to do.
LOCK TABLE migration IN ACCESS EXCLUSIVE MODE;

-- name: lock_raw
-- Two processes that make a month at once: one does. Reading and writing of raw bytes go on.
LOCK TABLE raw IN SHARE UPDATE EXCLUSIVE MODE;

-- name: read_raw_months
-- The months that have a partition of their own, oldest first.
SELECT right(c.relname, 6)::bigint AS month
  FROM pg_inherits i
  JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = 'raw'::regclass
   AND c.relname ~ '^raw_[0-9]{6}$'
 ORDER BY month;

-- name: read_coming_months
-- The server's month and the two after it, as yyyymm.
SELECT to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => n), 'YYYYMM')::bigint AS month
  FROM generate_series(0, 2) AS n
 ORDER BY n;

-- name: make_raw_month
-- A partition for a month, made ahead and filled with what came for it before. To attach it then locks nobody out but
-- those who write to raw_rest, and for a moment.
CREATE TABLE raw_$MONTH (LIKE raw INCLUDING ALL);
WITH moved AS (DELETE FROM raw_rest WHERE month = $MONTH RETURNING month, payment_id, rev, no, body)
INSERT INTO raw_$MONTH (month, payment_id, rev, no, body) SELECT month, payment_id, rev, no, body FROM moved;
ALTER TABLE raw ATTACH PARTITION raw_$MONTH FOR VALUES FROM ($MONTH) TO ($MONTH + 1);

-- name: drop_raw_month
-- The bytes of a month, all at once; the facts stay.
DROP TABLE raw_$MONTH;

-- name: drop_raw_rest
-- Some of the bytes of months that never had a partition; a piece at a time, which no time-out ends.
DELETE FROM raw_rest
 WHERE ctid IN (SELECT ctid FROM raw_rest WHERE month < :month LIMIT :limit_::bigint);
