-- name: list_payments
-- Payments of an app, newest first, before a place. Index payment_list.
SELECT id, created_ms, doc
  FROM payment
 WHERE app_id = :app
   AND created_ms >= :since_ms::bigint
   AND created_ms < :until_ms::bigint
   AND (created_ms, id) < (:before_ms::bigint, :before_id)
   AND (:status::text = '' OR status = :status::text)
 ORDER BY created_ms DESC, id DESC
 LIMIT :limit_::bigint;

-- name: find_trade
-- Payments of an app that moved money under the channel's own number. Index evidence_trade, key payment_pkey.
SELECT DISTINCT e.payment_id
  FROM evidence e
  JOIN payment p ON p.id = e.payment_id
 WHERE e.trade_no = :trade_no
   AND e.fact = 'moved'
   AND p.app_id = :app
 ORDER BY e.payment_id;

-- name: read_feed
-- Events of an app after a place. Only those of transactions older than every running one: whatever commits later gets
-- a place behind them, so a reader who goes on from its last place misses nothing. Compared and ordered as xid8, never
-- as text: a bare pos in ORDER BY would be the column of the answer, which is text. Index event_feed.
SELECT pos::text, payment_id, version, app_id, changes, data, at_ms
  FROM event
 WHERE app_id = :app
   AND (pos, payment_id, version) > (:after_pos::text::xid8, :after_payment, :after_version::bigint)
   AND pos < pg_snapshot_xmin(pg_current_snapshot())
 ORDER BY event.pos, payment_id, version
 LIMIT :limit_::bigint;

-- name: lower_places
-- After a restore into another server its transactions may count from below: places that they have not reached yet would
-- be shown to nobody. Such events come first, each payment's in their order. Reads the whole table.
UPDATE event
   SET pos = '3'::xid8
 WHERE pos >= pg_snapshot_xmin(pg_current_snapshot());

-- name: read_event
-- One event of an app. Key event_pkey.
SELECT payment_id, version, app_id, changes, data, at_ms
  FROM event
 WHERE payment_id = :payment_id
   AND version = :version
   AND app_id = :app;

-- name: read_payment_events
-- All events of a payment, oldest first. Key event_pkey.
SELECT payment_id, version, app_id, changes, data, at_ms
  FROM event
 WHERE payment_id = :payment_id
 ORDER BY version;

-- name: read_evidence
-- All evidence of a payment, oldest first. Key evidence_pkey.
SELECT payment_id, rev, no, attempt_no, account_id, road, fact, words, trade_no, minor, currency, channel_ms, digest,
       at_ms, wrong
  FROM evidence
 WHERE payment_id = :payment_id
 ORDER BY rev, no;
