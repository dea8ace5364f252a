-- name: ping
-- Whether the file can be read.
SELECT count(*)
  FROM meta;

-- name: stats
-- For metrics. Counts stop at ten thousand: a backlog is a backlog. Each through a partial index.
SELECT (SELECT count(*) FROM (SELECT 1 FROM payment WHERE due_ms <= :now_ms LIMIT 10000)),
       (SELECT min(due_ms) FROM payment WHERE due_ms IS NOT NULL),
       (SELECT count(*) FROM (SELECT 1 FROM delivery WHERE due_ms <= :now_ms LIMIT 10000)),
       (SELECT count(*) FROM (SELECT 1 FROM delivery WHERE status = 'parked' LIMIT 10000)),
       (SELECT count(*) FROM (SELECT 1 FROM cases WHERE status = 'open' LIMIT 10000));
