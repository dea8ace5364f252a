-- name: session_of_wake
-- What is told is worth no flush: a word that a crash loses is found by looking.
SET synchronous_commit = off;

-- name: tell
-- Words to all sessions that listen. Each such commit waits its turn for a lock of the whole database until it is
-- done, so this is never part of a commit that somebody waits for.
SELECT pg_notify(:channel, :words);
