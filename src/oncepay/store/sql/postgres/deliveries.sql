-- name: claim_deliveries
-- Lend due deliveries with the events they carry, at most so many for each endpoint: an endpoint with a million of them
-- takes no turn from another. As with payments, a lease is due_ms and nothing else. Index delivery_due, keys
-- delivery_pkey and event_pkey.
WITH lent AS MATERIALIZED (
  SELECT due.*, e.turn
    FROM unnest(:endpoints::text[]) WITH ORDINALITY AS e(id, turn)
   CROSS JOIN LATERAL (
         SELECT payment_id, version, endpoint_id, due_ms
           FROM delivery
          WHERE endpoint_id = e.id
            AND due_ms <= :now_ms::bigint
          ORDER BY due_ms
          LIMIT :each::bigint
            FOR NO KEY UPDATE SKIP LOCKED) AS due
), taken AS (
  UPDATE delivery d
     SET due_ms = :lease_until_ms::bigint
    FROM lent
   WHERE d.payment_id = lent.payment_id
     AND d.version = lent.version
     AND d.endpoint_id = lent.endpoint_id
     AND d.due_ms = lent.due_ms
  RETURNING d.payment_id, d.version, d.endpoint_id, d.app_id, d.status, d.tries, d.due_ms, d.last,
            lent.turn, lent.due_ms AS was_due_ms
)
SELECT t.payment_id, t.version, t.endpoint_id, t.app_id, t.status, t.tries, t.due_ms, t.last,
       v.changes, v.data, v.at_ms
  FROM taken t
  JOIN event v ON v.payment_id = t.payment_id AND v.version = t.version
 ORDER BY t.turn, t.was_due_ms, t.payment_id, t.version;

-- name: due_endpoints
-- Who has something due: one step into the index for each endpoint, however long their queues are. Also who is not there
-- any more: what was replayed, or committed by a process that had not heard of it, must be put away. Index delivery_due.
WITH RECURSIVE longest (id, due_ms) AS (
  (SELECT endpoint_id, due_ms
     FROM delivery
    WHERE due_ms IS NOT NULL
    ORDER BY endpoint_id, due_ms
    LIMIT 1)
   UNION ALL
  SELECT behind.*
    FROM longest
   CROSS JOIN LATERAL (
         SELECT endpoint_id, due_ms
           FROM delivery
          WHERE due_ms IS NOT NULL
            AND endpoint_id > longest.id
          ORDER BY endpoint_id, due_ms
          LIMIT 1) AS behind
)
SELECT id
  FROM longest
 WHERE due_ms <= :now_ms::bigint
 ORDER BY id;

-- name: replay_parked
-- Make parked deliveries due again with all their tries. A choice of one payment is a range of the key, so that one
-- plan serves both. Index delivery_parked, key delivery_pkey.
WITH chosen AS MATERIALIZED (
  SELECT payment_id, version, endpoint_id
    FROM delivery
   WHERE app_id = :app
     AND status = 'parked'
     AND payment_id BETWEEN :payment_first AND :payment_last
     AND (:version::bigint = 0 OR version = :version::bigint)
     AND (:endpoint::text = '' OR endpoint_id = :endpoint::text)
   ORDER BY payment_id, version, endpoint_id
   LIMIT :limit_::bigint
     FOR NO KEY UPDATE
)
UPDATE delivery d
   SET status = 'due', tries = 0, due_ms = :now_ms::bigint
  FROM chosen c
 WHERE d.payment_id = c.payment_id
   AND d.version = c.version
   AND d.endpoint_id = c.endpoint_id
RETURNING 1;

-- name: replay_status
-- The same for deliveries of another status. Key delivery_pkey.
WITH chosen AS MATERIALIZED (
  SELECT payment_id, version, endpoint_id
    FROM delivery
   WHERE app_id = :app
     AND status = :status
     AND payment_id BETWEEN :payment_first AND :payment_last
     AND (:version::bigint = 0 OR version = :version::bigint)
     AND (:endpoint::text = '' OR endpoint_id = :endpoint::text)
   ORDER BY payment_id, version, endpoint_id
   LIMIT :limit_::bigint
     FOR NO KEY UPDATE
)
UPDATE delivery d
   SET status = 'due', tries = 0, due_ms = :now_ms::bigint
  FROM chosen c
 WHERE d.payment_id = c.payment_id
   AND d.version = c.version
   AND d.endpoint_id = c.endpoint_id
RETURNING 1;

-- name: list_parked
-- Parked deliveries of an app, after a place. Index delivery_parked.
SELECT payment_id, version, endpoint_id, app_id, status, tries, due_ms, last
  FROM delivery
 WHERE app_id = :app
   AND status = 'parked'
   AND payment_id BETWEEN :payment_first AND :payment_last
   AND (payment_id, version, endpoint_id) > (:after_payment, :after_version::bigint, :after_endpoint)
 ORDER BY payment_id, version, endpoint_id
 LIMIT :limit_::bigint;

-- name: list_deliveries
-- Deliveries of an app, after a place. Key delivery_pkey.
SELECT payment_id, version, endpoint_id, app_id, status, tries, due_ms, last
  FROM delivery
 WHERE app_id = :app
   AND (:status::text = '' OR status = :status::text)
   AND payment_id BETWEEN :payment_first AND :payment_last
   AND (payment_id, version, endpoint_id) > (:after_payment, :after_version::bigint, :after_endpoint)
 ORDER BY payment_id, version, endpoint_id
 LIMIT :limit_::bigint;
