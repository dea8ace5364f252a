"""Settings, from the environment: README.md says which."""

import os

SECRET_KEY = os.environ["SHOP_SECRET_KEY"]
ALLOWED_HOSTS = os.environ.get("SHOP_HOSTS", "127.0.0.1").split()
INSTALLED_APPS = ["shop"]
ROOT_URLCONF = "shop.views"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Where the server is, libpq reads by itself: PGHOST, PGPORT, PGUSER, PGPASSWORD, or a service file.
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["SHOP_DATABASE"]}}

CENTRE_URL = os.environ["SHOP_CENTRE_URL"]
CENTRE_KEY = os.environ["SHOP_CENTRE_KEY"]
WEBHOOK_SECRETS = os.environ["SHOP_WEBHOOK_SECRET"].split()  # two of them while one is being rotated
QUEUE_URL = os.environ.get("SHOP_QUEUE_URL", "")  # where the centre puts the news, if it is not told by webhook
