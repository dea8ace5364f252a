-- name: insert_event
-- One a version. AUTOINCREMENT: a place in the feed is never given twice, and the one writer gives them in the order in
-- which they become visible.
INSERT INTO event (payment_id, version, app_id, changes, data, at_ms)
VALUES (?, ?, ?, ?, ?, ?);

-- name: list_events
-- The feed of an app, oldest first, through index event_feed.
SELECT pos, payment_id, version, app_id, changes, data, at_ms
  FROM event
 WHERE app_id = :app
   AND pos > :after
 ORDER BY pos
 LIMIT :most;

-- name: read_event
-- One event of an app.
SELECT payment_id, version, app_id, changes, data, at_ms
  FROM event
 WHERE payment_id = :payment_id
   AND version = :version
   AND app_id = :app;

-- name: list_payment_events
-- All events of a payment, oldest first.
SELECT payment_id, version, app_id, changes, data, at_ms
  FROM event
 WHERE payment_id = ?1
 ORDER BY version;
