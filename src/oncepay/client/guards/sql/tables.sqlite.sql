-- The guards' tables for SQLite. Run it as one of your migrations; running it again changes nothing.

-- What was told of each order's payment, and which milestones were run because of it. version: the newest taken in, -1
-- when none could be yet. settled: 1 when it is paid or closed and no refund is on its way. done: the milestones that
-- were run. failures, failed, error: how often in a row, at which event and of what the app's handlers failed.
CREATE TABLE IF NOT EXISTS oncepay_inbox (
  order_no   TEXT PRIMARY KEY,
  payment    TEXT NOT NULL,
  version    INTEGER NOT NULL,
  settled    INTEGER NOT NULL,
  done       TEXT NOT NULL,
  changed_ms INTEGER NOT NULL,
  failures   INTEGER NOT NULL,
  failed     TEXT NOT NULL,
  error      TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS oncepay_inbox_failures ON oncepay_inbox (failures) WHERE failures > 0;

-- Orders whose outcome is asked for. above: the version of the payment, as far as it was known when the order was
-- registered; the outcome is newer. since_ms: when that was. due_ms: when to ask next.
CREATE TABLE IF NOT EXISTS oncepay_watch (
  order_no TEXT PRIMARY KEY,
  above    INTEGER NOT NULL,
  since_ms INTEGER NOT NULL,
  due_ms   INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS oncepay_watch_due ON oncepay_watch (due_ms);

-- How far the feed of events was read; and, under a name of its own, up to when orders were forgotten.
CREATE TABLE IF NOT EXISTS oncepay_feed (
  feed  TEXT PRIMARY KEY,
  place TEXT NOT NULL
);

-- Submissions of the last minutes: what makes two of them the same, and the order that came of it.
CREATE TABLE IF NOT EXISTS oncepay_submission (
  digest   TEXT PRIMARY KEY,
  order_no TEXT NOT NULL,
  until_ms INTEGER NOT NULL
);

-- Messages of a broker that could not be taken in. digest: of the message. place: where it came from. event: as it calls
-- itself. error: why, the last time. message: its headers and its body, as JSON. genuine: 1 when it was verified and a
-- handler failed. tries: how often it was tried since. since_ms: when it came. due_ms: when it is tried next.
CREATE TABLE IF NOT EXISTS oncepay_aside (
  digest   TEXT PRIMARY KEY,
  place    TEXT NOT NULL,
  event    TEXT NOT NULL,
  error    TEXT NOT NULL,
  message  TEXT NOT NULL,
  genuine  INTEGER NOT NULL,
  tries    INTEGER NOT NULL,
  since_ms INTEGER NOT NULL,
  due_ms   INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS oncepay_aside_due ON oncepay_aside (due_ms);
