-- name: made
-- Creations. The primary key is the guard against creating an order twice: who comes second gets no row back, after
-- waiting for the first to commit. Key payment_pkey.
made AS (
  INSERT INTO payment (id, app_id, order_no, status, currency, minor, subject, created_ms, rev, version, due_ms,
                       change_id, doc)
  SELECT c.*
    FROM unnest(:made_id::text[], :made_app::text[], :made_order::text[], :made_status::text[], :made_currency::text[],
                :made_minor::bigint[], :made_subject::text[], :made_created::bigint[], :made_rev::bigint[],
                :made_version::bigint[], :made_due::bigint[], :made_change::text[], :made_doc::text[]) AS c(id)
   ORDER BY c.id COLLATE "C"
      ON CONFLICT (id) DO NOTHING
  RETURNING id
)

-- name: held
-- The rows to change, locked. What another process holds is left out (busy: a later group takes it), so that one
-- stopped process never makes its neighbours wait. `rev` is the committed one, newer than this statement's snapshot if
-- need be. Key payment_pkey.
held AS MATERIALIZED (
  SELECT c.*, p.rev AS rev_now, p.change_id AS change_now
    FROM unnest(:moved_id::text[], :moved_was::bigint[], :moved_status::text[], :moved_minor::bigint[],
                :moved_version::bigint[], :moved_due::bigint[], :moved_change::text[], :moved_doc::text[])
         AS c(id, rev, status, minor, version, due_ms, change_id, doc)
    JOIN payment p ON p.id = c.id
   ORDER BY p.id
     FOR NO KEY UPDATE OF p SKIP LOCKED
)

-- name: moved
-- The guard: only a row that is still at the revision that was read is changed. Key payment_pkey.
moved AS (
  UPDATE payment p
     SET status = h.status, minor = h.minor, rev = h.rev + 1, version = h.version, due_ms = h.due_ms,
         change_id = h.change_id, doc = h.doc
    FROM held h
   WHERE p.id = h.id
     AND p.rev = h.rev
     AND h.rev_now = h.rev
  RETURNING p.id
)

-- name: won_made
-- Which changes won, when the group only creates.
won AS MATERIALIZED (SELECT id FROM made)

-- name: won_moved
-- Which changes won, when the group creates nothing.
won AS MATERIALIZED (SELECT id FROM moved)

-- name: won_either
-- Which changes won.
won AS MATERIALIZED (SELECT id FROM made UNION ALL SELECT id FROM moved)

-- name: attempts
-- The directory of attempts, written once: the first body of a number stays. Key attempt_pkey.
attempts AS (
  INSERT INTO attempt (payment_id, no, app_id, account_id, direction, refund_no, created_ms, body)
  SELECT c.*
    FROM unnest(:attempts_payment::text[], :attempts_no::text[], :attempts_app::text[], :attempts_account::text[],
                :attempts_direction::text[], :attempts_refund::text[], :attempts_created::bigint[],
                :attempts_body::bytea[]) AS c(payment_id, no)
   WHERE (c.payment_id IN (SELECT id FROM won)) IS TRUE
   ORDER BY c.payment_id COLLATE "C", c.no COLLATE "C"
      ON CONFLICT (payment_id, no) DO NOTHING
)

-- name: credentials
-- Credentials too long for the payment's row; renewed ones replace. Key credential_pkey.
credentials AS (
  INSERT INTO credential (payment_id, no, body)
  SELECT c.*
    FROM unnest(:credentials_payment::text[], :credentials_no::text[], :credentials_body::text[]) AS c(payment_id, no)
   WHERE (c.payment_id IN (SELECT id FROM won)) IS TRUE
   ORDER BY c.payment_id COLLATE "C", c.no COLLATE "C"
      ON CONFLICT (payment_id, no) DO UPDATE SET body = excluded.body
)

-- name: evidence
-- Facts, for ever. Keyed by the revision they made, which nobody else can have made. Key evidence_pkey.
evidence AS (
  INSERT INTO evidence (payment_id, rev, no, attempt_no, account_id, road, fact, words, trade_no, minor, currency,
                        channel_ms, channel_day, digest, at_ms, wrong)
  SELECT c.*
    FROM unnest(:evidence_payment::text[], :evidence_rev::bigint[], :evidence_no::bigint[], :evidence_attempt::text[],
                :evidence_account::text[], :evidence_road::text[], :evidence_fact::text[], :evidence_words::text[],
                :evidence_trade::text[], :evidence_minor::bigint[], :evidence_currency::text[],
                :evidence_channel_ms::bigint[], :evidence_channel_day::bigint[], :evidence_digest::text[],
                :evidence_at::bigint[], :evidence_wrong::text[]) AS c(payment_id, rev, no)
   WHERE (c.payment_id IN (SELECT id FROM won)) IS TRUE
   ORDER BY c.payment_id COLLATE "C", c.rev, c.no
)

-- name: raw
-- The bytes behind the facts, dropped by month. Key raw_pkey of the month's partition.
raw AS (
  INSERT INTO raw (month, payment_id, rev, no, body)
  SELECT c.*
    FROM unnest(:raw_month::bigint[], :raw_payment::text[], :raw_rev::bigint[], :raw_no::bigint[], :raw_body::bytea[])
         AS c(month, payment_id, rev, no)
   WHERE (c.payment_id IN (SELECT id FROM won)) IS TRUE
   ORDER BY c.month, c.payment_id COLLATE "C", c.rev, c.no
)

-- name: events
-- One event a version; `pos` is the id of this transaction, by which the feed is read. Key event_pkey.
events AS (
  INSERT INTO event (payment_id, version, app_id, changes, data, at_ms)
  SELECT c.*
    FROM unnest(:events_payment::text[], :events_version::bigint[], :events_app::text[], :events_changes::text[],
                :events_data::text[], :events_at::bigint[]) AS c(payment_id, version)
   WHERE (c.payment_id IN (SELECT id FROM won)) IS TRUE
   ORDER BY c.payment_id COLLATE "C", c.version
)

-- name: deliveries
-- The event on its way to each endpoint. Key delivery_pkey.
deliveries AS (
  INSERT INTO delivery (payment_id, version, endpoint_id, app_id, status, tries, due_ms, last)
  SELECT c.*
    FROM unnest(:deliveries_payment::text[], :deliveries_version::bigint[], :deliveries_endpoint::text[],
                :deliveries_app::text[], :deliveries_status::text[], :deliveries_tries::bigint[],
                :deliveries_due::bigint[], :deliveries_last::text[]) AS c(payment_id, version, endpoint_id)
   WHERE (c.payment_id IN (SELECT id FROM won)) IS TRUE
   ORDER BY c.payment_id COLLATE "C", c.version, c.endpoint_id
)

-- name: acts
-- What people did with cases. Key act_pkey.
acts AS (
  INSERT INTO act (case_id, id, payment_id, verb, actor, reason, evidence, number, did, at_ms)
  SELECT c.*
    FROM unnest(:acts_case::text[], :acts_id::text[], :acts_payment::text[], :acts_verb::text[], :acts_actor::text[],
                :acts_reason::text[], :acts_evidence::text[], :acts_number::text[], :acts_did::text[],
                :acts_at::bigint[]) AS c(case_id, id, payment_id)
   WHERE (c.payment_id IN (SELECT id FROM won)) IS TRUE
   ORDER BY c.case_id COLLATE "C", c.id COLLATE "C"
)

-- name: cases
-- Cases, the one thing that two payments may raise together (a paused account). Sorted by their own key and written
-- after everything that is held, so that waiting for another group's case closes no circle. Raised again, an open case
-- only counts up; a resolved one opens again. Key cases_pkey.
cases AS (
  INSERT INTO cases (id, payment_id, account_id, app_id, kind, status, text, opened_ms, due_ms, seen, note, data)
  SELECT DISTINCT ON (c.id COLLATE "C")
         c.id, c.payment_id, c.account_id, c.app_id, c.kind, c.status, c.text, c.opened_ms, c.due_ms,
         count(*) OVER (PARTITION BY c.id), c.note, c.data
    FROM unnest(:cases_id::text[], :cases_payment::text[], :cases_account::text[], :cases_app::text[],
                :cases_kind::text[], :cases_status::text[], :cases_text::text[], :cases_opened::bigint[],
                :cases_due::bigint[], :cases_seen::bigint[], :cases_note::text[], :cases_data::text[],
                :cases_raised_by::text[])
         AS c(id, payment_id, account_id, app_id, kind, status, text, opened_ms, due_ms, seen, note, data, raised_by)
   WHERE (c.raised_by IN (SELECT id FROM won)) IS TRUE
   ORDER BY c.id COLLATE "C", c.raised_by COLLATE "C"
      ON CONFLICT (id) DO UPDATE
     SET seen = cases.seen + excluded.seen,
         status = 'open',
         text = CASE cases.status WHEN 'open' THEN cases.text ELSE excluded.text END,
         opened_ms = CASE cases.status WHEN 'open' THEN cases.opened_ms ELSE excluded.opened_ms END,
         due_ms = CASE cases.status WHEN 'open' THEN cases.due_ms ELSE excluded.due_ms END,
         note = CASE cases.status WHEN 'open' THEN cases.note ELSE '' END,
         data = CASE cases.status WHEN 'open' THEN cases.data ELSE excluded.data END
)

-- name: resolved
-- Cases that are closed with what was done. Of the payment's own: nobody else raises or closes them in this group, and a
-- change never closes a case that it raises. Key cases_pkey.
resolved AS (
  UPDATE cases
     SET status = 'resolved', note = c.note, due_ms = 0
    FROM unnest(:resolved_note::text[], :resolved_id::text[], :resolved_by::text[]) AS c(note, id, closed_by)
   WHERE cases.id = c.id
     AND cases.status = 'open'
     AND (c.closed_by IN (SELECT id FROM won)) IS TRUE
)

-- name: answer_made
-- The outcome of each change: true won; a creation without a row lost.
SELECT id, TRUE AS won FROM won

-- name: answer_held
-- The outcome of each change: true won, only false lost; a guard without any row is busy (or the payment is not there).
-- Who finds the very change in the row has won before: it is told again after an answer was lost.
SELECT id, TRUE AS won FROM won
 UNION ALL
SELECT id, rev_now = rev + 1 AND change_now = change_id AND change_id <> '' FROM held

-- name: marked
-- How deliveries ended, riding along. What is done stays done, whoever else was trying. Never waits: a mark that finds
-- its row held is lost, and costs a second delivery.
-- Key delivery_pkey.
marked AS (
  UPDATE delivery d
     SET status = m.status, tries = m.tries, due_ms = m.due_ms, last = m.last
    FROM (SELECT c.*
            FROM unnest(:marks_status::text[], :marks_tries::bigint[], :marks_due::bigint[], :marks_last::text[],
                        :marks_payment::text[], :marks_version::bigint[], :marks_endpoint::text[])
                 AS c(status, tries, due_ms, last, payment_id, version, endpoint_id)
            JOIN delivery d USING (payment_id, version, endpoint_id)
           ORDER BY d.payment_id, d.version, d.endpoint_id
             FOR NO KEY UPDATE OF d SKIP LOCKED) AS m
   WHERE d.payment_id = m.payment_id
     AND d.version = m.version
     AND d.endpoint_id = m.endpoint_id
     AND d.status <> 'done'
)

-- name: answer_marked
-- No change in the group: nothing to say.
SELECT NULL::text AS id, FALSE AS won WHERE FALSE

-- name: read_changes
-- Creations that lost: perhaps to themselves, when they are told again after an answer was lost. A plain read, for what
-- they lost to is committed. Key payment_pkey.
SELECT id, rev, change_id
  FROM payment
 WHERE id = ANY(:ids::text[]);

-- name: ask_made
-- After a COMMIT without an answer: waits, under lock_timeout, for a creation that is still on its way (a row that is
-- not committed cannot be locked, only run into). Rolled back whatever it finds.
INSERT INTO payment (id, app_id, order_no, status, currency, minor, subject, created_ms, rev, version, change_id, doc)
SELECT c.id, '', '', 'open', '', 0, '', 0, 0, 0, '', ''
  FROM unnest(:ids::text[]) AS c(id)
 ORDER BY c.id COLLATE "C"
    ON CONFLICT (id) DO NOTHING;

-- name: ask_held
-- After a COMMIT without an answer: whose change is in the row? A locking read, so that a commit which is still on its
-- way is waited for under lock_timeout; a plain read would show the old row and call the change lost.
SELECT id, rev, change_id
  FROM payment
 WHERE id = ANY(:ids::text[])
 ORDER BY id
   FOR NO KEY UPDATE;
