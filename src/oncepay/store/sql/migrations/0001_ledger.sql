-- The ledger. Words in braces differ between the databases (migrations.py); all else is one text.
-- Every hot table carries the payment id in its primary key and has no other unique key and no foreign key: a group of
-- changes takes its locks by primary key alone, and a sharded database can spread all of it by payment.

CREATE TABLE payment (
  id         TEXT {C} NOT NULL PRIMARY KEY,
  app_id     TEXT NOT NULL,
  order_no   TEXT NOT NULL,
  status     TEXT NOT NULL CHECK (status IN ('open', 'paid', 'closed')),
  currency   TEXT NOT NULL,
  minor      BIGINT NOT NULL,
  subject    TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  rev        BIGINT NOT NULL,      -- the guard: up by one with each change
  version    BIGINT NOT NULL,      -- of what the app can see
  due_ms     BIGINT,               -- of the next step; a lease moves it, and it alone
  change_id  TEXT NOT NULL,        -- of the last change: settles a COMMIT whose answer was lost
  doc        TEXT NOT NULL         -- the whole aggregate as JSON: the truth
) {HOT_PAYMENT};
CREATE INDEX payment_due  ON payment (due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX payment_list ON payment (app_id, created_ms, id);

-- The directory of attempts, written once: the first body sent for a number, to be repeated byte for byte.
CREATE TABLE attempt (
  payment_id TEXT {C} NOT NULL,
  no         TEXT {C} NOT NULL,
  app_id     TEXT NOT NULL,
  account_id TEXT NOT NULL,
  direction  TEXT NOT NULL CHECK (direction IN ('in', 'out')),
  refund_no  TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  body       {BYTES} NOT NULL,
  PRIMARY KEY (payment_id, no)
);
CREATE INDEX attempt_refunds ON attempt (app_id, created_ms, payment_id, no) WHERE direction = 'out';

-- Credentials too long for the payment's row.
CREATE TABLE credential (
  payment_id TEXT {C} NOT NULL,
  no         TEXT {C} NOT NULL,
  body       TEXT NOT NULL,
  PRIMARY KEY (payment_id, no)
);

-- What channels said, as facts, for ever. digest: of the message's bytes, which it outlives.
CREATE TABLE evidence (
  payment_id  TEXT {C} NOT NULL,
  rev         BIGINT NOT NULL,
  no          BIGINT NOT NULL,
  attempt_no  TEXT NOT NULL,
  account_id  TEXT NOT NULL,
  road        TEXT NOT NULL,
  fact        TEXT NOT NULL,
  words       TEXT NOT NULL,
  trade_no    TEXT {C} NOT NULL,
  minor       BIGINT,
  currency    TEXT,
  channel_ms  BIGINT NOT NULL,
  channel_day BIGINT NOT NULL,
  digest      TEXT NOT NULL,
  at_ms       BIGINT NOT NULL,
  PRIMARY KEY (payment_id, rev, no)
);
CREATE INDEX evidence_moved ON evidence (account_id, channel_day, payment_id) WHERE fact = 'moved';
CREATE INDEX evidence_trade ON evidence (trade_no, payment_id) WHERE fact = 'moved';

-- The bytes behind the facts, dropped by month.
CREATE TABLE raw (
  month      BIGINT NOT NULL,
  payment_id TEXT {C} NOT NULL,
  rev        BIGINT NOT NULL,
  no         BIGINT NOT NULL,
  body       {BYTES} NOT NULL,
  PRIMARY KEY (month, payment_id, rev, no)
) {PART_RAW};
-- Months get partitions of their own, made ahead; bytes of a month without one must still find a place.
{POSTGRES} CREATE TABLE raw_rest PARTITION OF raw DEFAULT;

-- One a version. pos orders the feed so that a late commit is never skipped.
CREATE TABLE event (
  {POS}
  payment_id TEXT {C} NOT NULL,
  version    BIGINT NOT NULL,
  app_id     TEXT NOT NULL,
  changes    TEXT NOT NULL,
  data       TEXT NOT NULL,
  at_ms      BIGINT NOT NULL,
  {EVENT_KEY} (payment_id, version)
);
CREATE INDEX event_feed ON event (app_id, pos, payment_id, version);

CREATE TABLE delivery (
  payment_id  TEXT {C} NOT NULL,
  version     BIGINT NOT NULL,
  endpoint_id TEXT {C} NOT NULL,
  app_id      TEXT NOT NULL,
  status      TEXT NOT NULL CHECK (status IN ('due', 'done', 'parked')),
  tries       BIGINT NOT NULL,
  due_ms      BIGINT,
  last        TEXT NOT NULL,
  PRIMARY KEY (payment_id, version, endpoint_id)
) {HOT_DELIVERY};
CREATE INDEX delivery_due    ON delivery (endpoint_id, due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX delivery_parked ON delivery (app_id, payment_id, version) WHERE status = 'parked';

-- What a person must look at; id is a hash of what it is about and its kind. ("case" is a reserved word.)
CREATE TABLE cases (
  id         TEXT {C} NOT NULL PRIMARY KEY,
  payment_id TEXT {C} NOT NULL,
  account_id TEXT NOT NULL,
  app_id     TEXT NOT NULL,
  kind       TEXT NOT NULL,
  status     TEXT NOT NULL CHECK (status IN ('open', 'resolved')),
  text       TEXT NOT NULL,
  opened_ms  BIGINT NOT NULL,
  due_ms     BIGINT NOT NULL,
  seen       BIGINT NOT NULL,
  note       TEXT NOT NULL,
  data       TEXT NOT NULL
);
CREATE INDEX cases_open    ON cases (opened_ms, id) WHERE status = 'open';
CREATE INDEX cases_payment ON cases (payment_id) WHERE payment_id <> '';

-- Messages that the core could not take in.
CREATE TABLE unapplied (
  payment_id TEXT {C} NOT NULL,
  key        TEXT {C} NOT NULL,
  channel    TEXT NOT NULL,
  account_id TEXT NOT NULL,
  road       TEXT NOT NULL,
  body       {BYTES} NOT NULL,
  why        TEXT NOT NULL,
  at_ms      BIGINT NOT NULL,
  PRIMARY KEY (payment_id, key)
);

-- Who there is. Small; read whole.
CREATE TABLE app (
  id               TEXT {C} NOT NULL PRIMARY KEY,
  name             TEXT NOT NULL,
  late             TEXT NOT NULL,
  unclosable       TEXT NOT NULL,
  private_networks TEXT NOT NULL,
  created_ms       BIGINT NOT NULL
);
CREATE TABLE app_key (
  hash       TEXT {C} NOT NULL PRIMARY KEY,
  app_id     TEXT {C} NOT NULL,
  hint       TEXT NOT NULL,
  created_ms BIGINT NOT NULL,
  used_ms    BIGINT NOT NULL
);
CREATE TABLE account (
  id         TEXT {C} NOT NULL PRIMARY KEY,
  channel    TEXT NOT NULL,
  identity   TEXT NOT NULL,
  settings   TEXT NOT NULL,
  sealed     TEXT NOT NULL,
  revision   BIGINT NOT NULL,
  retired    BIGINT NOT NULL,
  created_ms BIGINT NOT NULL
);
CREATE TABLE endpoint (
  id         TEXT {C} NOT NULL PRIMARY KEY,
  app_id     TEXT {C} NOT NULL,
  url        TEXT NOT NULL,
  secrets    TEXT NOT NULL,
  disabled   TEXT NOT NULL,
  created_ms BIGINT NOT NULL
);
