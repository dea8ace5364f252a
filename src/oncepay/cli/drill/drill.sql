-- name: read_done
-- Of the shop's database: what its inbox has done for each payment, the milestones' keys.
SELECT done
  FROM oncepay_inbox;

-- name: count_due
-- Of the centre's database: what waits for a worker, through the indexes payment_due and delivery_due.
SELECT (SELECT count(*) FROM payment WHERE due_ms <= :now_ms)
     + (SELECT count(*) FROM delivery WHERE due_ms <= :now_ms);
