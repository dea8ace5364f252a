-- name: load
-- The aggregates as last committed. Key payment_pkey.
SELECT id, doc
  FROM payment
 WHERE id = ANY(:ids::text[]);

-- name: claim_due
-- Lend the longest-overdue payments to a worker: due_ms moves past the lease, so a worker that dies gives them back by
-- itself. No row goes to two workers: the change is a compare-and-set on (id, due_ms), and SKIP LOCKED only saves the
-- waiting. MATERIALIZED, or the rows may be picked a second time. The floor skips what the last batches left behind in
-- the index: while an old snapshot is open nobody may clean it. Index payment_due, key payment_pkey.
WITH lent AS MATERIALIZED (
  SELECT id, due_ms
    FROM payment
   WHERE due_ms <= :now_ms::bigint
     AND due_ms >= :floor_ms::bigint
   ORDER BY due_ms
   LIMIT :limit_::bigint
     FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE payment p
   SET due_ms = :lease_until_ms::bigint
  FROM lent
 WHERE p.id = lent.id
   AND p.due_ms = lent.due_ms
RETURNING p.id, p.doc, lent.due_ms;

-- name: bring_kept_back
-- Payments for which a message is kept are due now, if a later change has put them off for long. The table of kept
-- messages is empty but for faults. Key payment_pkey.
UPDATE payment
   SET due_ms = :now_ms::bigint
 WHERE id IN (SELECT payment_id FROM unapplied)
   AND (due_ms IS NULL OR due_ms > :late_ms::bigint)
RETURNING id;

-- name: postpone
-- Give a lent payment back, unless a commit has moved its due time since. Key payment_pkey.
UPDATE payment
   SET due_ms = :due_ms::bigint
 WHERE id = :id
   AND (:lease_until_ms::bigint = 0 OR due_ms = :lease_until_ms::bigint)
RETURNING id;

-- name: read_body
-- The first body sent for a number. Key attempt_pkey.
SELECT body
  FROM attempt
 WHERE payment_id = :payment_id
   AND no = :no;

-- name: read_credential
-- A credential that is stored apart. Key credential_pkey.
SELECT body
  FROM credential
 WHERE payment_id = :payment_id
   AND no = :no;

-- name: keep_unapplied
-- A message that the core could not take in. The same again is the same row. Key unapplied_pkey.
INSERT INTO unapplied (payment_id, key, channel, account_id, road, body, why, at_ms)
VALUES (:payment_id, :key, :channel, :account_id, :road, :body, :why, :at_ms)
    ON CONFLICT (payment_id, key) DO NOTHING;

-- name: read_unapplied
-- The kept messages of some payments, oldest first. Key unapplied_pkey.
SELECT payment_id, key, channel, account_id, road, body, why, at_ms
  FROM unapplied
 WHERE payment_id = ANY(:ids::text[])
 ORDER BY at_ms, payment_id, key;

-- name: drop_unapplied
-- It was taken in. Key unapplied_pkey.
DELETE FROM unapplied
 WHERE payment_id = :payment_id
   AND key = :key;
