-- name: next_due
-- When a worker has something to do at the earliest: with payments, through index payment_due; with deliveries, through
-- index delivery_due. So that polls that would find nothing need not be simulated.
SELECT (SELECT min(due_ms) FROM payment WHERE due_ms IS NOT NULL),
       (SELECT min(due_ms) FROM delivery WHERE due_ms IS NOT NULL);

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

-- name: attach_ground
-- What every world begins with, beside the one there is.
ATTACH DATABASE ? AS ground;

-- name: tables
-- All of a database, SQLite's own counters too.
SELECT name
  FROM sqlite_schema
 WHERE type = 'table';

-- name: empty
-- The last world is over.
DELETE FROM main.{table};

-- name: fill
-- The next one begins.
INSERT INTO main.{table}
SELECT * FROM ground.{table};
