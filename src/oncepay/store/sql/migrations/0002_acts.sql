-- What people did with cases, for ever. id: drawn, or of a note a hash of what it says.
CREATE TABLE act (
  case_id    TEXT {C} NOT NULL,
  id         TEXT {C} NOT NULL,
  payment_id TEXT {C} NOT NULL,   -- that it touched; empty where a case is about an account
  verb       TEXT NOT NULL,
  actor      TEXT NOT NULL,
  reason     TEXT NOT NULL,
  evidence   TEXT NOT NULL,       -- what the person went by
  number     TEXT NOT NULL,       -- of the attempt that it was done to
  did        TEXT NOT NULL,       -- what came of it, one sentence
  at_ms      BIGINT NOT NULL,
  PRIMARY KEY (case_id, id)
);
CREATE INDEX act_payment ON act (payment_id, at_ms, id) WHERE payment_id <> '';

-- Why a message that was believed was not taken in: then its facts are not the payment's.
ALTER TABLE evidence ADD COLUMN wrong TEXT NOT NULL DEFAULT '';
