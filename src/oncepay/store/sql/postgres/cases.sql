-- name: open_case
-- Raise a case outside of a payment's change. Raised again, an open one only counts up; a resolved one is open again, as
-- it is told now. Key cases_pkey.
INSERT INTO cases (id, payment_id, account_id, app_id, kind, status, text, opened_ms, due_ms, seen, note, data)
VALUES (:id, :payment_id, :account_id, :app_id, :kind, 'open', :text, :opened_ms, :due_ms, 1, '', :data)
    ON CONFLICT (id) DO UPDATE
   SET seen = cases.seen + 1,
       status = 'open',
       text = CASE cases.status WHEN 'open' THEN cases.text ELSE excluded.text END,
       opened_ms = CASE cases.status WHEN 'open' THEN cases.opened_ms ELSE excluded.opened_ms END,
       due_ms = CASE cases.status WHEN 'open' THEN cases.due_ms ELSE excluded.due_ms END,
       note = CASE cases.status WHEN 'open' THEN cases.note ELSE '' END,
       data = CASE cases.status WHEN 'open' THEN cases.data ELSE excluded.data END;

-- name: list_open_cases
-- Open cases, oldest first, after a place. Index cases_open.
SELECT id, payment_id, account_id, app_id, kind, status, text, opened_ms, due_ms, seen, note, data
  FROM cases
 WHERE status = 'open'
   AND (:app::text = '' OR app_id = :app::text)
   AND (opened_ms, id) > (:after_ms::bigint, :after_id)
 ORDER BY opened_ms, id
 LIMIT :limit_::bigint;

-- name: list_cases_of_payment
-- Cases of a payment, oldest first, after a place. Index cases_payment.
SELECT id, payment_id, account_id, app_id, kind, status, text, opened_ms, due_ms, seen, note, data
  FROM cases
 WHERE payment_id = :payment_id
   AND payment_id <> ''
   AND (:app::text = '' OR app_id = :app::text)
   AND (:status::text = '' OR status = :status::text)
   AND (opened_ms, id) > (:after_ms::bigint, :after_id)
 ORDER BY opened_ms, id
 LIMIT :limit_::bigint;

-- name: list_cases
-- All cases or the resolved ones, oldest first, after a place. Read whole: people look at this, and cases are few.
SELECT id, payment_id, account_id, app_id, kind, status, text, opened_ms, due_ms, seen, note, data
  FROM cases
 WHERE (:app::text = '' OR app_id = :app::text)
   AND (:status::text = '' OR status = :status::text)
   AND (opened_ms, id) > (:after_ms::bigint, :after_id)
 ORDER BY opened_ms, id
 LIMIT :limit_::bigint;

-- name: read_case
-- One case. Key cases_pkey.
SELECT id, payment_id, account_id, app_id, kind, status, text, opened_ms, due_ms, seen, note, data
  FROM cases
 WHERE id = :id;

-- name: resolve_case
-- Close a case, if it is open, and record who did. Key cases_pkey, act_pkey.
WITH resolved AS (
  UPDATE cases
     SET status = 'resolved', note = :reason, due_ms = 0
   WHERE id = :case_id
     AND status = 'open'
  RETURNING id
)
INSERT INTO act (case_id, id, payment_id, verb, actor, reason, evidence, number, did, at_ms)
SELECT id, :id::text, :payment_id::text, :verb::text, :actor::text, :reason::text, :evidence::text, :number::text,
       :did::text, :at_ms::bigint
  FROM resolved
RETURNING id;

-- name: add_act
-- What was done with a case without changing a payment. Said twice, it stands once. Key act_pkey.
INSERT INTO act (case_id, id, payment_id, verb, actor, reason, evidence, number, did, at_ms)
VALUES (:case_id, :id, :payment_id, :verb, :actor, :reason, :evidence, :number, :did, :at_ms)
    ON CONFLICT (case_id, id) DO NOTHING
RETURNING id;

-- name: read_acts
-- What was done with a case, oldest first. Key act_pkey.
SELECT case_id, id, payment_id, verb, actor, reason, evidence, number, did, at_ms
  FROM act
 WHERE case_id = :case_id
 ORDER BY at_ms, id;

-- name: read_acts_of_payment
-- What people did to a payment by its cases, oldest first. Index act_payment.
SELECT case_id, id, payment_id, verb, actor, reason, evidence, number, did, at_ms
  FROM act
 WHERE payment_id = :payment_id
   AND payment_id <> ''
 ORDER BY at_ms, id, case_id;
