"""Django's commands (``python manage.py migrate``), and Django for programs that do not start it themselves."""

import os
import sys

import django
from django.core.management import execute_from_command_line

from oncepay.client.guards import Watch

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")


def watch() -> Watch:
    """For ``python -m oncepay.client.guards watch manage:watch --loop``."""
    django.setup()  # only then can models be loaded
    from shop import payments

    return payments.watch


if __name__ == "__main__":
    execute_from_command_line(sys.argv)
