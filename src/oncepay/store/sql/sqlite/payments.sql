-- name: create_payment
-- A payment exists once: its id is a hash of whose it is, so the primary key is the guard against a second submission.
INSERT INTO payment (id, app_id, order_no, status, currency, minor, subject, created_ms, rev, version, due_ms,
                     change_id, doc)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
    ON CONFLICT (id) DO NOTHING;

-- name: guard_payment
-- The one guard of the aggregate, by primary key. No row changes when another road got there first: load again, decide
-- again. Takes the same columns as create_payment; ?9 is the new revision. What never changes is not written.
UPDATE payment
   SET status = ?4, minor = ?6, rev = ?9, version = ?10, due_ms = ?11, change_id = ?12, doc = ?13
 WHERE id = ?1
   AND rev = ?9 - 1;

-- name: read_change_id
-- Whose change the payment carries: ours, when a commit did happen whose answer was lost.
SELECT change_id
  FROM payment
 WHERE id = ?1;

-- name: load_payment
-- The aggregate, by primary key.
SELECT doc
  FROM payment
 WHERE id = ?1;

-- name: due_payments
-- The longest overdue first, through index payment_due. Run within the claim's transaction, which nobody else can be in.
SELECT id, doc
  FROM payment
 WHERE due_ms <= :now_ms
 ORDER BY due_ms, id
 LIMIT :most;

-- name: is_payment_due
-- Whether a claim is worth a transaction.
SELECT 1
  FROM payment
 WHERE due_ms <= :now_ms
 LIMIT 1;

-- name: lend_payment
-- A lease is due_ms and nothing else; the guard makes a lost one harmless. rev stays: nothing was learned.
UPDATE payment
   SET due_ms = ?2
 WHERE id = ?1;

-- name: is_kept_put_off
-- Whether a payment for which a message is kept is not due for long. The table of kept messages is empty but for faults.
SELECT 1
  FROM unapplied
  JOIN payment ON payment.id = unapplied.payment_id
 WHERE payment.due_ms IS NULL
    OR payment.due_ms > :late_ms
 LIMIT 1;

-- name: bring_kept_back
-- Such payments are due now.
UPDATE payment
   SET due_ms = :now_ms
 WHERE id IN (SELECT payment_id FROM unapplied)
   AND (due_ms IS NULL OR due_ms > :late_ms);

-- name: postpone_payment
-- Give a lent payment back, unless a commit has set another due time since. :lease_until_ms 0 asks no questions.
UPDATE payment
   SET due_ms = :due_ms
 WHERE id = :id
   AND (due_ms = :lease_until_ms OR :lease_until_ms = 0);

-- name: insert_attempt
-- Written once: the first body for a number is the one that is repeated.
INSERT INTO attempt (payment_id, no, app_id, account_id, direction, refund_no, created_ms, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (payment_id, no) DO NOTHING;

-- name: read_body
-- The first body sent for a number.
SELECT body
  FROM attempt
 WHERE payment_id = ?1
   AND no = ?2;

-- name: write_credential
-- A renewed credential takes the old one's place.
INSERT INTO credential (payment_id, no, body)
VALUES (?, ?, ?)
    ON CONFLICT (payment_id, no) DO UPDATE SET body = excluded.body;

-- name: read_credential
-- A credential that is too long for the payment's row.
SELECT body
  FROM credential
 WHERE payment_id = ?1
   AND no = ?2;

-- name: list_payments
-- An app's payments, newest first, through index payment_list. :before_ms, :before_id: the last row of the page before.
SELECT doc
  FROM payment
 WHERE app_id = :app
   AND (created_ms, id) < (:before_ms, :before_id)
   AND created_ms >= :since_ms
   AND (:status = '' OR status = :status)
 ORDER BY created_ms DESC, id DESC
 LIMIT :most;
