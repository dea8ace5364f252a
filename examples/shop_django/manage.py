"""Django's commands; and imported, Django with the shop in it, for programs that do not start it themselves."""

import os
import sys

import django
from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
else:
    django.setup()  # only then can models be loaded
    from shop.payments import consumer, watch  # noqa: F401
