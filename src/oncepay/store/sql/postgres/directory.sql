-- name: read_apps
-- All apps.
SELECT id, name, late, unclosable, private_networks, created_ms
  FROM app
 ORDER BY id;

-- name: read_app_keys
-- All keys of apps, newest first.
SELECT hash, app_id, hint, created_ms, used_ms
  FROM app_key
 ORDER BY app_id, created_ms DESC, hash;

-- name: save_app
-- Create or replace an app with its keys, if the stamp has not moved: an app is several rows, which are compared before,
-- by a statement of their own. Taken first, the stamp is the lock too: else two who waited for each other's rows would
-- both go by what was there before either. Keys that are not named are gone at once; a key's last use only moves
-- forward. Keys meta_pkey, app_pkey, app_key_pkey.
WITH moved AS (
  UPDATE meta
     SET value = value::bigint + 1
   WHERE name = 'directory'
     AND value = :stamp
  RETURNING value
), saved AS (
  INSERT INTO app (id, name, late, unclosable, private_networks, created_ms)
  SELECT :id, :name, :late, :unclosable, :private_networks, :created_ms::bigint
    FROM moved
      ON CONFLICT (id) DO UPDATE
     SET name = excluded.name, late = excluded.late, unclosable = excluded.unclosable,
         private_networks = excluded.private_networks
), revoked AS (
  DELETE FROM app_key
   WHERE app_id = :id
     AND hash <> ALL(:hashes::text[])
     AND EXISTS (SELECT 1 FROM moved)
), keys AS (
  INSERT INTO app_key (hash, app_id, hint, created_ms, used_ms)
  SELECT k.hash, :id, k.hint, k.created_ms, k.used_ms
    FROM unnest(:hashes::text[], :hints::text[], :keys_created::bigint[], :keys_used::bigint[])
         AS k(hash, hint, created_ms, used_ms)
   WHERE EXISTS (SELECT 1 FROM moved)
   ORDER BY k.hash COLLATE "C"
      ON CONFLICT (hash) DO UPDATE
     SET used_ms = greatest(app_key.used_ms, excluded.used_ms)
   WHERE app_key.app_id = excluded.app_id
)
SELECT value
  FROM moved;

-- name: used_key
-- Note a key's last use. Key app_key_pkey.
UPDATE app_key
   SET used_ms = :at_ms
 WHERE hash = :hash
   AND used_ms < :at_ms;

-- name: read_accounts
-- All accounts, sealed.
SELECT id, channel, identity, settings, sealed, revision, retired, created_ms
  FROM account
 ORDER BY id;

-- name: save_account
-- Create at revision 1, or replace what stands one revision below; channel, identity and birth never change. Key
-- account_pkey.
WITH saved AS (
  INSERT INTO account (id, channel, identity, settings, sealed, revision, retired, created_ms)
  SELECT :id, :channel, :identity, :settings, :sealed, :revision::bigint, :retired::bigint, :created_ms::bigint
   WHERE :revision::bigint = 1
      OR EXISTS (SELECT 1 FROM account WHERE account.id = :id)
      ON CONFLICT (id) DO UPDATE
     SET settings = excluded.settings, sealed = excluded.sealed, revision = excluded.revision,
         retired = excluded.retired
   WHERE account.revision = excluded.revision - 1
  RETURNING id
)
UPDATE meta SET value = value::bigint + 1 WHERE name = 'directory' AND EXISTS (SELECT 1 FROM saved)
RETURNING value;

-- name: read_endpoints
-- All endpoints.
SELECT id, app_id, url, secrets, login, disabled, created_ms
  FROM endpoint
 ORDER BY id;

-- name: create_endpoint
-- A new endpoint, if the stamp has not moved since it was seen that its app has none of this url. Keys meta_pkey,
-- endpoint_pkey.
WITH moved AS (
  UPDATE meta
     SET value = value::bigint + 1
   WHERE name = 'directory'
     AND value = :stamp
  RETURNING value
), saved AS (
  INSERT INTO endpoint (id, app_id, url, secrets, login, disabled, created_ms)
  SELECT :id, :app, :url, :secrets, :login, :disabled, :created_ms::bigint
    FROM moved
)
SELECT value
  FROM moved;

-- name: replace_endpoint
-- A compare-and-set on all of it that ever changes: a rotation and our own disabling at once would else undo each other,
-- and a change would bring back what was removed. Key endpoint_pkey.
WITH saved AS (
  UPDATE endpoint
     SET secrets = :secrets, login = :login, disabled = :disabled
   WHERE id = :id
     AND app_id = :app
     AND secrets = :secrets_before
     AND login = :login_before
     AND disabled = :disabled_before
  RETURNING id
)
UPDATE meta SET value = value::bigint + 1 WHERE name = 'directory' AND EXISTS (SELECT 1 FROM saved)
RETURNING value;

-- name: delete_endpoint
-- Remove an endpoint of an app. Key endpoint_pkey.
WITH gone AS (
  DELETE FROM endpoint
   WHERE id = :id
     AND app_id = :app
  RETURNING id
)
UPDATE meta SET value = value::bigint + 1 WHERE name = 'directory' AND EXISTS (SELECT 1 FROM gone)
RETURNING value;

-- name: drop_due_deliveries
-- Nobody is there any more to hear these. In pieces: there may be millions. Index delivery_due.
DELETE FROM delivery
 WHERE ctid = ANY(ARRAY(SELECT ctid
                          FROM delivery
                         WHERE endpoint_id = :id
                           AND due_ms IS NOT NULL
                         ORDER BY due_ms
                         LIMIT :limit_::bigint
                           FOR UPDATE SKIP LOCKED))
RETURNING 1;

-- name: read_stamp
-- Changes whenever an app, account or endpoint does. Key meta_pkey.
SELECT value
  FROM meta
 WHERE name = 'directory';
