-- name: insert_evidence
-- A fact, for ever. Its key holds the revision, so that no two changes can meet in it.
INSERT INTO evidence (payment_id, rev, no, attempt_no, account_id, road, fact, words, trade_no, minor, currency,
                      channel_ms, channel_day, digest, at_ms, wrong)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_raw
-- The bytes behind the facts, until their month is dropped.
INSERT INTO raw (month, payment_id, rev, no, body)
VALUES (?, ?, ?, ?, ?);

-- name: list_evidence
-- Everything channels said of a payment, oldest first, by primary key.
SELECT payment_id, rev, no, attempt_no, account_id, road, fact, words, trade_no, minor, currency, channel_ms, digest,
       at_ms, wrong
  FROM evidence
 WHERE payment_id = ?1
 ORDER BY rev, no;

-- name: find_trade
-- Payments of an app that moved money under the channel's own number, through index evidence_trade.
SELECT DISTINCT e.payment_id
  FROM evidence e
  JOIN payment p ON p.id = e.payment_id
 WHERE e.fact = 'moved'
   AND e.trade_no = :trade_no
   AND p.app_id = :app
 ORDER BY e.payment_id;

-- name: keep_unapplied
-- The same message again is the same row.
INSERT INTO unapplied (payment_id, key, channel, account_id, road, body, why, at_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (payment_id, key) DO NOTHING;

-- name: list_unapplied
-- The kept messages of one payment, oldest first, by primary key.
SELECT payment_id, key, channel, account_id, road, body, why, at_ms
  FROM unapplied
 WHERE payment_id = ?1
 ORDER BY at_ms, key;

-- name: drop_unapplied
-- It was taken in.
DELETE FROM unapplied
 WHERE payment_id = ?1
   AND key = ?2;

-- name: forget_raw
-- The bytes of months before this one; the facts stay. Some at a time, so that a large month stops nobody; by primary
-- key, which begins with the month.
DELETE FROM raw
 WHERE rowid IN (SELECT rowid
                   FROM raw
                  WHERE month < :before
                  LIMIT :most);
