-- name: next_payment
-- When a worker has something to do at the earliest, through index payment_due: so that polls that would find nothing
-- need not be simulated.
SELECT min(due_ms)
  FROM payment
 WHERE due_ms IS NOT NULL;

-- name: next_delivery
-- The same of deliveries, through index delivery_due.
SELECT min(due_ms)
  FROM delivery
 WHERE due_ms IS NOT NULL;

-- name: create_deeds
-- The shop's cash book.
CREATE TABLE deed (
    order_no TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    word     TEXT    NOT NULL,
    minor    INTEGER NOT NULL
);

-- name: add_deed
-- What the shop did at a milestone. Nothing keeps it from being done twice but the inbox: that is the point.
INSERT INTO deed (order_no, key, word, minor)
VALUES (?, ?, ?, ?);

-- name: deeds
-- The whole cash book.
SELECT order_no, key, word, minor
  FROM deed
 ORDER BY rowid;

-- name: versions
-- What the inbox has of each order.
SELECT order_no, version
  FROM oncepay_inbox;
