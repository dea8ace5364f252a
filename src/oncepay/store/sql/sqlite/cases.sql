-- name: raise_case
-- Raised again, an open case only counts up; a resolved one is open again, as it is told now.
INSERT INTO cases (id, payment_id, account_id, app_id, kind, status, text, opened_ms, due_ms, seen, note, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE
   SET seen      = seen + 1,
       status    = 'open',
       text      = CASE status WHEN 'open' THEN text      ELSE excluded.text      END,
       opened_ms = CASE status WHEN 'open' THEN opened_ms ELSE excluded.opened_ms END,
       due_ms    = CASE status WHEN 'open' THEN due_ms    ELSE excluded.due_ms    END,
       note      = CASE status WHEN 'open' THEN note      ELSE ''                 END,
       data      = CASE status WHEN 'open' THEN data      ELSE excluded.data      END;

-- name: list_open_cases
-- Open cases, oldest first, through index cases_open.
SELECT id, payment_id, account_id, app_id, kind, status, text, opened_ms, due_ms, seen, note, data
  FROM cases
 WHERE status = 'open'
   AND (opened_ms, id) > (:after_ms, :after_id)
   AND (:app = '' OR app_id = :app)
 ORDER BY opened_ms, id
 LIMIT :most;

-- name: list_cases
-- Cases of any status, oldest first: few enough to be read through.
SELECT id, payment_id, account_id, app_id, kind, status, text, opened_ms, due_ms, seen, note, data
  FROM cases
 WHERE (opened_ms, id) > (:after_ms, :after_id)
   AND (:app = '' OR app_id = :app)
   AND (:status = '' OR status = :status)
 ORDER BY opened_ms, id
 LIMIT :most;

-- name: list_payment_cases
-- Cases of one payment, oldest first, through index cases_payment.
SELECT id, payment_id, account_id, app_id, kind, status, text, opened_ms, due_ms, seen, note, data
  FROM cases
 WHERE payment_id = :payment_id
   AND payment_id <> ''
   AND (opened_ms, id) > (:after_ms, :after_id)
   AND (:app = '' OR app_id = :app)
   AND (:status = '' OR status = :status)
 ORDER BY opened_ms, id
 LIMIT :most;

-- name: read_case
-- One case.
SELECT id, payment_id, account_id, app_id, kind, status, text, opened_ms, due_ms, seen, note, data
  FROM cases
 WHERE id = ?1;

-- name: resolve_case
-- A person has looked, and nothing more happens by itself. Nothing changes when it was not open.
UPDATE cases
   SET status = 'resolved', note = ?1, due_ms = 0
 WHERE id = ?2
   AND status = 'open';

-- name: insert_act
-- What a person did with a case. Said twice, it stands once.
INSERT INTO act (case_id, id, payment_id, verb, actor, reason, evidence, number, did, at_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (case_id, id) DO NOTHING;

-- name: list_acts
-- What was done with a case, oldest first, by primary key.
SELECT case_id, id, payment_id, verb, actor, reason, evidence, number, did, at_ms
  FROM act
 WHERE case_id = ?1
 ORDER BY at_ms, id;

-- name: list_payment_acts
-- What people did to a payment by its cases, oldest first, through index act_payment.
SELECT case_id, id, payment_id, verb, actor, reason, evidence, number, did, at_ms
  FROM act
 WHERE payment_id = ?1
   AND payment_id <> ''
 ORDER BY at_ms, id, case_id;
