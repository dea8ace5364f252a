-- The guards' tables for MySQL (8.0.13 or newer) and MariaDB (10.5 or newer). Run it as one of your
-- migrations; running it again changes nothing.
-- Numbers are compared to the letter, hence ascii_bin. repeats: changes whenever a row is told again, because only so
-- does the server lock that row and say whether it was there.

-- What was told of each order's payment, and which milestones were run because of it. version: the newest taken in, -1
-- when none could be yet. settled: 1 when it is paid or closed and no refund is on its way. done: the milestones that
-- were run. failures, failed, error: how often in a row, at which event and of what the app's handlers failed.
CREATE TABLE IF NOT EXISTS oncepay_inbox (
  order_no   VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
  payment    VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  version    BIGINT NOT NULL,
  settled    SMALLINT NOT NULL,
  done       TEXT NOT NULL,
  changed_ms BIGINT NOT NULL,
  failures   INTEGER NOT NULL,
  failed     VARCHAR(80) NOT NULL,
  error      TEXT NOT NULL,
  repeats    INTEGER NOT NULL DEFAULT 0,
  KEY oncepay_inbox_failures (failures)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- Orders whose outcome is asked for. above: the version of the payment, as far as it was known when the order was
-- registered; the outcome is newer. since_ms: when that was. due_ms: when to ask next.
CREATE TABLE IF NOT EXISTS oncepay_watch (
  order_no VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
  above    BIGINT NOT NULL,
  since_ms BIGINT NOT NULL,
  due_ms   BIGINT NOT NULL,
  KEY oncepay_watch_due (due_ms)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- How far the feed of events was read; and, under a name of its own, up to when orders were forgotten.
CREATE TABLE IF NOT EXISTS oncepay_feed (
  feed    VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
  place   TEXT NOT NULL,
  repeats INTEGER NOT NULL DEFAULT 0
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- Submissions of the last minutes: what makes two of them the same, and the order that came of it.
CREATE TABLE IF NOT EXISTS oncepay_submission (
  digest   VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
  order_no VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  until_ms BIGINT NOT NULL,
  repeats  INTEGER NOT NULL DEFAULT 0
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- Messages of a broker that could not be taken in. digest: of the message. place: where it came from. event: as it calls
-- itself. error: why, the last time. message: its headers and its body, as JSON. genuine: 1 when it was verified and a
-- handler failed. tries: how often it was tried since. since_ms: when it came. due_ms: when it is tried next.
CREATE TABLE IF NOT EXISTS oncepay_aside (
  digest   VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
  place    TEXT NOT NULL,
  event    VARCHAR(80) NOT NULL,
  error    TEXT NOT NULL,
  message  MEDIUMTEXT NOT NULL,
  genuine  SMALLINT NOT NULL,
  tries    INTEGER NOT NULL,
  since_ms BIGINT NOT NULL,
  due_ms   BIGINT NOT NULL,
  repeats  INTEGER NOT NULL DEFAULT 0,
  KEY oncepay_aside_due (due_ms)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;
