-- name: read_settings
-- How the server is set, as this session sees it: what decides whether a commit can be lost, and what only makes it
-- faster. Settings that this release of the server does not know are missing from the answer.
SELECT name, setting, unit
  FROM pg_settings
 WHERE name = ANY(:names::text[]);

-- name: read_server
-- Facts about the server that are not settings. A standby in recovery must never be asked about money.
SELECT pg_is_in_recovery() AS standby,
       current_setting('server_version_num')::int AS version,
       current_setting('server_version') AS version_text,
       (SELECT string_agg(relname, ', ' ORDER BY relname)
          FROM pg_class
         WHERE relpersistence = 'u'
           AND relkind = 'r'
           AND relnamespace = to_regnamespace(current_schema())) AS unlogged;

-- name: read_clock
-- The server's time, milliseconds since 1970: doctor compares it with ours.
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms;

-- name: ping
-- Whether the server answers.
SELECT 1;

-- name: stats
-- For metrics. Counts stop at ten thousand: a backlog is a backlog. Indexes payment_due, delivery_due, delivery_parked
-- and cases_open.
SELECT (SELECT count(*) FROM (SELECT 1 FROM payment WHERE due_ms <= :now_ms::bigint LIMIT 10000) AS due) AS payments_due,
       (SELECT min(due_ms) FROM payment WHERE due_ms IS NOT NULL) AS first_due_ms,
       (SELECT count(*) FROM (SELECT 1 FROM delivery WHERE due_ms <= :now_ms::bigint LIMIT 10000) AS due)
         AS deliveries_due,
       (SELECT count(*) FROM (SELECT 1 FROM delivery WHERE status = 'parked' LIMIT 10000) AS parked)
         AS deliveries_parked,
       (SELECT count(*) FROM (SELECT 1 FROM cases WHERE status = 'open' LIMIT 10000) AS open) AS cases_open,
       (SELECT (pg_snapshot_xmax(pg_current_snapshot())::text::numeric
                - pg_snapshot_xmin(pg_current_snapshot())::text::numeric)) AS feed_lag;
