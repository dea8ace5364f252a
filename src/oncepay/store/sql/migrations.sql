-- name: create_records
-- What the migrations themselves stand on: which were applied, and the few facts about this installation.
CREATE TABLE IF NOT EXISTS migration (
  number   BIGINT NOT NULL PRIMARY KEY,
  name     TEXT NOT NULL,
  checksum TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS meta (
  name  TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
);

-- name: read_applied
-- Which migrations were applied, oldest first.
SELECT number, name, checksum
  FROM migration
 ORDER BY number;

-- name: record_migration
-- A migration was applied, with the checksum of its file.
INSERT INTO migration (number, name, checksum)
VALUES (:number, :name, :checksum);

-- name: draw_meta
-- A fact that is drawn once and never again: the installation id, the first epoch, the directory's stamp.
INSERT INTO meta (name, value)
VALUES (:name, :value)
    ON CONFLICT (name) DO NOTHING;

-- name: read_meta
-- All facts about this installation.
SELECT name, value
  FROM meta;

-- name: write_epoch
-- A restored database starts a new epoch: places in the feed that were given after the backup would be given again.
UPDATE meta
   SET value = :epoch
 WHERE name = 'epoch';
