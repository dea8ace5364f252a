-- name: stamp_directory
-- In the transaction of every change of who there is: processes look at the stamp, and read again when it moved.
UPDATE meta
   SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT)
 WHERE name = 'directory';

-- name: read_stamp
-- Changes whenever who there is does.
SELECT value
  FROM meta
 WHERE name = 'directory';

-- name: list_apps
-- All apps.
SELECT id, name, late, unclosable, private_networks, created_ms
  FROM app
 ORDER BY id;

-- name: list_keys
-- All keys, newest first within an app.
SELECT app_id, hash, hint, created_ms, used_ms
  FROM app_key
 ORDER BY app_id, created_ms DESC, hash;

-- name: save_app
-- Create or replace; whether what is replaced is what was read is looked at before, in the same transaction.
INSERT INTO app (id, name, late, unclosable, private_networks, created_ms)
VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE
   SET name = excluded.name, late = excluded.late, unclosable = excluded.unclosable,
       private_networks = excluded.private_networks;

-- name: save_key
-- A key of this app. Its last use only moves forward, and it never changes hands.
INSERT INTO app_key (hash, app_id, hint, created_ms, used_ms)
VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (hash) DO UPDATE
   SET used_ms = max(used_ms, excluded.used_ms)
 WHERE app_id = excluded.app_id;

-- name: drop_key
-- A key that the app no longer has.
DELETE FROM app_key
 WHERE app_id = ?1
   AND hash = ?2;

-- name: use_key
-- When a key was last used, to whatever grain the caller rounds.
UPDATE app_key
   SET used_ms = :at_ms
 WHERE hash = :hash
   AND used_ms < :at_ms;

-- name: list_accounts
-- All accounts, secrets sealed.
SELECT id, channel, identity, settings, sealed, revision, retired, created_ms
  FROM account
 ORDER BY id;

-- name: create_account
-- Revision 1 of an account, once.
INSERT INTO account (id, channel, identity, settings, sealed, revision, retired, created_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    ON CONFLICT (id) DO NOTHING;

-- name: replace_account
-- A compare-and-set on the revision before. Channel, identity and birth never change.
UPDATE account
   SET settings = :settings, sealed = :sealed, revision = :revision, retired = :retired
 WHERE id = :id
   AND revision = :revision - 1;

-- name: list_endpoints
-- All endpoints.
SELECT id, app_id, url, secrets, login, disabled, created_ms
  FROM endpoint
 ORDER BY id;

-- name: create_endpoint
-- Once: an app has one of a url.
INSERT INTO endpoint (id, app_id, url, secrets, login, disabled, created_ms)
SELECT :id, :app, :url, :secrets, :login, :disabled, :created_ms
 WHERE NOT EXISTS (SELECT 1 FROM endpoint WHERE app_id = :app AND url = :url)
    ON CONFLICT (id) DO NOTHING;

-- name: replace_endpoint
-- A compare-and-set on all of it that ever changes: a rotation and our own disabling at once would else undo each other,
-- and a change would bring back what was removed.
UPDATE endpoint
   SET secrets = :secrets, login = :login, disabled = :disabled
 WHERE id = :id
   AND app_id = :app
   AND secrets = :secrets_before
   AND login = :login_before
   AND disabled = :disabled_before;

-- name: delete_endpoint
-- Only its app can.
DELETE FROM endpoint
 WHERE id = :id
   AND app_id = :app;

-- name: drop_due_deliveries
-- Nobody is there any more to hear these. Some at a time, so that a long queue stops nobody; index delivery_due.
DELETE FROM delivery
 WHERE rowid IN (SELECT rowid
                   FROM delivery
                  WHERE endpoint_id = :id
                    AND due_ms IS NOT NULL
                  LIMIT :most);
