-- How we log in at an endpoint that is a broker, sealed; its url is kept without that.
ALTER TABLE endpoint ADD COLUMN login TEXT NOT NULL DEFAULT '';
