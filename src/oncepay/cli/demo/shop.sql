-- name: create_orders
-- What was ordered, and the newest that the centre told about its payment. snapshot, credential: JSON, as told.
CREATE TABLE IF NOT EXISTS orders (
  order_no TEXT PRIMARY KEY, subject TEXT NOT NULL, minor INTEGER NOT NULL, ordered_ms INTEGER NOT NULL,
  payment TEXT NOT NULL DEFAULT '', credential TEXT NOT NULL DEFAULT '{}',
  version INTEGER NOT NULL DEFAULT -1, status TEXT NOT NULL DEFAULT 'open', snapshot TEXT NOT NULL DEFAULT '{}',
  told INTEGER NOT NULL DEFAULT 0);

-- name: create_deeds
-- What the shop did because of it, each of which must happen once. minor: what it moved in the shop's cash book.
CREATE TABLE IF NOT EXISTS deed (
  id INTEGER PRIMARY KEY, order_no TEXT NOT NULL, what TEXT NOT NULL, minor INTEGER NOT NULL, at_ms INTEGER NOT NULL);

-- name: add_order
INSERT INTO orders (order_no, subject, minor, ordered_ms) VALUES (:order_no, :subject, :minor, :ordered_ms)
ON CONFLICT (order_no) DO NOTHING;

-- name: start_order
UPDATE orders SET payment = :payment, credential = :credential WHERE order_no = :order_no;

-- name: read_order
SELECT order_no, subject, minor, ordered_ms, payment, credential, version, status, snapshot, told
  FROM orders WHERE order_no = :order_no;

-- name: list_orders
SELECT order_no, subject, minor, ordered_ms, payment, credential, version, status, snapshot, told
  FROM orders ORDER BY ordered_ms DESC, order_no DESC LIMIT 100;

-- name: count_told
UPDATE orders SET told = told + 1 WHERE order_no = :order_no;

-- name: take_snapshot
UPDATE orders SET version = :version, status = :status, snapshot = :snapshot WHERE order_no = :order_no;

-- name: add_deed
INSERT INTO deed (order_no, what, minor, at_ms) VALUES (:order_no, :what, :minor, :at_ms);

-- name: read_deeds
SELECT what, minor, at_ms FROM deed WHERE order_no = :order_no ORDER BY id;
