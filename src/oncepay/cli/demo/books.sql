-- name: orders
-- The shop's orders, the newest first, or the one of that number. payment, version: as its inbox has taken them in,
-- version -1 before anything was told.
SELECT o.order_no, o.item, o.minor, o.status, coalesce(i.payment, '') AS payment, coalesce(i.version, -1) AS version
  FROM orders o LEFT JOIN oncepay_inbox i ON i.order_no = o.order_no
 WHERE :order_no IN ('', o.order_no)
 ORDER BY o.rowid DESC;

-- name: deeds
-- What followed from their payments, in order.
SELECT order_no, what, minor FROM journal WHERE :order_no IN ('', order_no) ORDER BY id;
