-- name: create_orders
-- What was ordered. status: of its payment. credential: JSON, as the centre gave it. told: how many messages came.
CREATE TABLE IF NOT EXISTS orders (
  order_no TEXT PRIMARY KEY, subject TEXT NOT NULL, minor INTEGER NOT NULL, ordered_ms INTEGER NOT NULL,
  payment TEXT NOT NULL DEFAULT '', credential TEXT NOT NULL DEFAULT '{}',
  status TEXT NOT NULL DEFAULT 'open', told INTEGER NOT NULL DEFAULT 0);

-- name: create_deeds
-- What the shop did because of it, each of which must happen once. minor: what it moved in the shop's cash book.
CREATE TABLE IF NOT EXISTS deed (
  id INTEGER PRIMARY KEY, order_no TEXT NOT NULL, what TEXT NOT NULL, minor INTEGER NOT NULL, at_ms INTEGER NOT NULL);

-- name: add_order
INSERT INTO orders (order_no, subject, minor, ordered_ms) VALUES (:order_no, :subject, :minor, :ordered_ms);

-- name: start_order
UPDATE orders SET payment = :payment, credential = :credential WHERE order_no = :order_no;

-- name: read_order
-- payment, version: as the inbox has taken them in, version -1 before anything was told.
SELECT o.order_no, subject, minor, ordered_ms, coalesce(i.payment, o.payment) AS payment, credential, status, told,
       coalesce(i.version, -1) AS version
  FROM orders o LEFT JOIN oncepay_inbox i ON i.order_no = o.order_no
 WHERE o.order_no = :order_no;

-- name: list_orders
SELECT o.order_no, subject, minor, ordered_ms, coalesce(i.payment, o.payment) AS payment, credential, status, told,
       coalesce(i.version, -1) AS version
  FROM orders o LEFT JOIN oncepay_inbox i ON i.order_no = o.order_no
 ORDER BY ordered_ms DESC, o.order_no DESC LIMIT 100;

-- name: count_told
UPDATE orders SET told = told + 1 WHERE order_no = :order_no;

-- name: set_status
UPDATE orders SET status = :status WHERE order_no = :order_no;

-- name: add_deed
INSERT INTO deed (order_no, what, minor, at_ms) VALUES (:order_no, :what, :minor, :at_ms);

-- name: read_deeds
SELECT what, minor FROM deed WHERE order_no = :order_no ORDER BY id;
