-- The guards' statements. {if_absent}, {or_update}, {locked} and {greater} are what the dialects say differently (dialects.py).

-- name: tell
-- Take the first news of an order in. Who comes second waits for who came first; no row is added when something is known
-- already. By the primary key.
INSERT INTO oncepay_inbox (order_no, payment, version, settled, done, changed_ms, failures, failed, error)
VALUES (:order_no, :payment, :version, :settled, :done, :now_ms, 0, '', '')
{if_absent};

-- name: known
-- What is known of an order, and nobody else changes it from here on. By the primary key.
SELECT payment, version, done, failures
  FROM oncepay_inbox
 WHERE order_no = :order_no
{locked};

-- name: hold
-- Whatever is known of an order, nobody else changes it from here on. By the primary key.
UPDATE oncepay_inbox
   SET failures = failures
 WHERE order_no = :order_no;

-- name: tell_more
-- Take later news in; what failed before has not failed this time. By the primary key, under the lock of known.
UPDATE oncepay_inbox
   SET version = :version, settled = :settled, done = :done, changed_ms = :now_ms, failures = 0, failed = '', error = ''
 WHERE order_no = :order_no;

-- name: forgive
-- What failed was taken in after all. By the primary key.
UPDATE oncepay_inbox
   SET failures = 0, failed = '', error = ''
 WHERE order_no = :order_no;

-- name: fail
-- The app's handlers failed, and their transaction was rolled back: count it. By the primary key.
INSERT INTO oncepay_inbox (order_no, payment, version, settled, done, changed_ms, failures, failed, error)
VALUES (:order_no, :payment, -1, 0, '', :now_ms, 1, :failed, :error)
{or_update} failures = oncepay_inbox.failures + 1, failed = :failed, error = :error, changed_ms = :now_ms;

-- name: poisoned
-- Orders whose news have failed often. Reads index oncepay_inbox_failures.
SELECT order_no, payment, version, failures, failed, error, changed_ms
  FROM oncepay_inbox
 WHERE failures >= :failures
   AND failures > 0
 ORDER BY changed_ms, order_no
 LIMIT :limit;

-- name: forget
-- Orders that were settled long ago. Reads the whole table: for a quiet hour.
DELETE FROM oncepay_inbox
 WHERE changed_ms < :before_ms
   AND settled = 1
   AND failures = 0;

-- name: forgotten
-- Up to where orders were forgotten, and nobody forgets more from here on. By the primary key.
SELECT place
  FROM oncepay_feed
 WHERE feed = :feed
{locked};

-- name: forget_up_to
-- Orders were forgotten up to here; it only goes forward. Places are of one length, so they compare as numbers do. By
-- the primary key.
UPDATE oncepay_feed
   SET place = :place
 WHERE feed = :feed
   AND place < :place;

-- name: watch
-- Ask for the outcome of an order from now on: news above what is known by now, to the inbox or to who registers it. By
-- the primary keys.
INSERT INTO oncepay_watch (order_no, above, since_ms, due_ms)
VALUES (:order_no, {greater}(:above, COALESCE((SELECT version FROM oncepay_inbox WHERE order_no = :order_no), 0)),
        :now_ms, :due_ms)
{or_update} above = {greater}(:above, COALESCE((SELECT version FROM oncepay_inbox WHERE order_no = :order_no), 0)),
            since_ms = :now_ms, due_ms = :due_ms;

-- name: unwatch_settled
-- Orders whose outcome came by another road. Reads index oncepay_watch_due, and the inbox by its primary key.
DELETE FROM oncepay_watch
 WHERE due_ms <= :now_ms
   AND EXISTS (SELECT 1
                 FROM oncepay_inbox
                WHERE oncepay_inbox.order_no = oncepay_watch.order_no
                  AND oncepay_inbox.settled = 1
                  AND oncepay_inbox.version > oncepay_watch.above);

-- name: due
-- Orders to ask for, the longest overdue first, and what the inbox knows of each. Reads index oncepay_watch_due, and the
-- inbox by its primary key.
SELECT oncepay_watch.order_no, above, since_ms, due_ms, COALESCE(version, 0)
  FROM oncepay_watch
  LEFT JOIN oncepay_inbox ON oncepay_inbox.order_no = oncepay_watch.order_no
 WHERE due_ms <= :now_ms
 ORDER BY due_ms, oncepay_watch.order_no
 LIMIT :limit;

-- name: put_off
-- Whoever changes the row asks now, and nobody else until the next time in the timetable. By the primary key.
UPDATE oncepay_watch
   SET due_ms = :next_ms
 WHERE order_no = :order_no
   AND due_ms = :due_ms;

-- name: unwatch
-- There is no more to ask, unless the order was registered again meanwhile. By the primary key.
DELETE FROM oncepay_watch
 WHERE order_no = :order_no
   AND since_ms = :since_ms;

-- name: unwatch_forgotten
-- Nothing is told any more of an order that was forgotten. By the primary keys.
DELETE FROM oncepay_watch
 WHERE order_no = :order_no
   AND since_ms = :since_ms
   AND NOT EXISTS (SELECT 1
                     FROM oncepay_inbox
                    WHERE oncepay_inbox.order_no = oncepay_watch.order_no);

-- name: place
-- How far the feed was read.
SELECT place
  FROM oncepay_feed
 WHERE feed = :feed;

-- name: place_first
-- The first page of the feed was read. No row is added when somebody else was faster.
INSERT INTO oncepay_feed (feed, place)
VALUES (:feed, :place)
{if_absent};

-- name: place_next
-- A page was read that begins where we were; no row is changed when somebody else read it meanwhile.
UPDATE oncepay_feed
   SET place = :place
 WHERE feed = :feed
   AND place = :was;

-- name: submit
-- The first submission of its kind adds the row, with its order, in the transaction that creates the order. Who comes
-- second waits for that. By the primary key.
INSERT INTO oncepay_submission (digest, order_no, until_ms)
VALUES (:digest, :order_no, :until_ms)
{if_absent};

-- name: submitted
-- The order that an earlier submission made, and nobody else takes its place from here on. By the primary key.
SELECT order_no, until_ms
  FROM oncepay_submission
 WHERE digest = :digest
{locked};

-- name: resubmit
-- The window of the earlier submission is over: this one takes its place. By the primary key, under the lock of submitted.
UPDATE oncepay_submission
   SET order_no = :order_no, until_ms = :until_ms
 WHERE digest = :digest;

-- name: find_submitted
-- The order that a submission made, without waiting for anybody. By the primary key.
SELECT order_no
  FROM oncepay_submission
 WHERE digest = :digest
   AND until_ms > :now_ms;

-- name: prune_submitted
-- Submissions whose window is over. Reads the whole table: for a quiet hour.
DELETE FROM oncepay_submission
 WHERE until_ms <= :now_ms;

-- name: put_aside
-- Keep a message that could not be taken in. No row is added when it is kept already. By the primary key.
INSERT INTO oncepay_aside (digest, place, event, error, message, genuine, tries, since_ms, due_ms)
VALUES (:digest, :place, :event, :error, :message, :genuine, 0, :now_ms, :due_ms)
{if_absent};

-- name: aside
-- Messages that were put aside, the oldest first. Reads the whole table: for people.
SELECT digest, place, event, error, message, genuine, tries, since_ms, due_ms
  FROM oncepay_aside
 ORDER BY since_ms, digest
 LIMIT :limit;

-- name: aside_due
-- Messages to try again, the longest overdue first. Reads index oncepay_aside_due.
SELECT digest, place, event, error, message, genuine, tries, since_ms, due_ms
  FROM oncepay_aside
 WHERE due_ms <= :now_ms
 ORDER BY due_ms, digest
 LIMIT :limit;

-- name: put_aside_off
-- Whoever changes the row tries it now, and nobody else until the next time in the timetable. By the primary key.
UPDATE oncepay_aside
   SET due_ms = :next_ms, tries = tries + 1
 WHERE digest = :digest
   AND due_ms = :due_ms;

-- name: fail_aside
-- It could not be taken in this time either. By the primary key.
UPDATE oncepay_aside
   SET error = :error
 WHERE digest = :digest;

-- name: hurry_aside
-- What could not be taken in may go in now: a secret was mended. Reads index oncepay_aside_due.
UPDATE oncepay_aside
   SET due_ms = :now_ms
 WHERE due_ms > :now_ms;

-- name: drop_aside
-- It went in, or a person has seen it and wants it no more. By the primary key.
DELETE FROM oncepay_aside
 WHERE digest = :digest;
