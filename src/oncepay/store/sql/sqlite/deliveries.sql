-- name: insert_delivery
-- An event on its way to one endpoint. due_ms may already be a lease.
INSERT INTO delivery (payment_id, version, endpoint_id, app_id, status, tries, due_ms, last)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: mark_delivery
-- How a try ended. What is done stays done, whoever else was trying; only a replay makes it due again.
UPDATE delivery
   SET status = ?, tries = ?, due_ms = ?, last = ?
 WHERE payment_id = ?
   AND version = ?
   AND endpoint_id = ?
   AND status <> 'done';

-- name: due_endpoints
-- Who has something due: a step into index delivery_due for each endpoint, however long their queues are. Also who is not
-- there any more: what was replayed, or committed by a process that had not heard of it, must be put away.
WITH RECURSIVE awaited (id) AS (
  SELECT min(endpoint_id)
    FROM delivery
   WHERE due_ms IS NOT NULL
   UNION ALL
  SELECT (SELECT min(endpoint_id)
            FROM delivery
           WHERE due_ms IS NOT NULL
             AND endpoint_id > awaited.id)
    FROM awaited
   WHERE id IS NOT NULL
)
SELECT id
  FROM awaited
 WHERE EXISTS (SELECT 1
                 FROM delivery
                WHERE endpoint_id = awaited.id
                  AND due_ms <= :now_ms)
 ORDER BY id;

-- name: due_deliveries
-- The longest overdue of one endpoint with their events, through index delivery_due.
SELECT d.payment_id, d.version, d.endpoint_id, d.app_id, d.status, d.tries, d.due_ms, d.last,
       e.payment_id, e.version, e.app_id, e.changes, e.data, e.at_ms
  FROM delivery d
  JOIN event e ON e.payment_id = d.payment_id AND e.version = d.version
 WHERE d.endpoint_id = :endpoint
   AND d.due_ms <= :now_ms
 ORDER BY d.due_ms, d.payment_id, d.version
 LIMIT :most;

-- name: lend_delivery
-- A lease, as with payments.
UPDATE delivery
   SET due_ms = ?4
 WHERE payment_id = ?1
   AND version = ?2
   AND endpoint_id = ?3;

-- name: list_parked
-- Parked deliveries of an app in the order of their keys, through index delivery_parked. A choice of one payment is a
-- range of the key.
SELECT payment_id, version, endpoint_id, app_id, status, tries, due_ms, last
  FROM delivery
 WHERE app_id = :app
   AND status = 'parked'
   AND payment_id BETWEEN :payment_first AND :payment_last
   AND (payment_id, version, endpoint_id) > (:after_payment, :after_version, :after_endpoint)
   AND (:version = 0 OR version = :version)
   AND (:endpoint = '' OR endpoint_id = :endpoint)
 ORDER BY payment_id, version, endpoint_id
 LIMIT :most;

-- name: list_deliveries
-- Deliveries of an app in the order of their keys, by primary key.
SELECT payment_id, version, endpoint_id, app_id, status, tries, due_ms, last
  FROM delivery
 WHERE app_id = :app
   AND payment_id BETWEEN :payment_first AND :payment_last
   AND (payment_id, version, endpoint_id) > (:after_payment, :after_version, :after_endpoint)
   AND (:version = 0 OR version = :version)
   AND (:endpoint = '' OR endpoint_id = :endpoint)
   AND (:status = '' OR status = :status)
 ORDER BY payment_id, version, endpoint_id
 LIMIT :most;

-- name: replay_delivery
-- Due at once and with all its tries, whatever became of it.
UPDATE delivery
   SET status = 'due', tries = 0, due_ms = ?4
 WHERE payment_id = ?1
   AND version = ?2
   AND endpoint_id = ?3;
