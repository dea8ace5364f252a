"""The shop's tables, and the guards': each guard's mark is a row beside what it guards."""

from typing import Any

from django.db import migrations, models

from oncepay.client.guards import link_of


def make_guards_tables(_: Any, editor: Any) -> None:
    link_of(editor.connection).make_tables()


class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel(
            "Order",
            fields=[
                ("order_no", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("buyer", models.BigIntegerField()),
                ("item", models.CharField(max_length=20)),
                ("quantity", models.PositiveIntegerField()),
                ("minor", models.BigIntegerField()),
                ("status", models.CharField(default="open", max_length=10)),
            ],
        ),
        migrations.CreateModel(
            "Entry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("order", models.ForeignKey("shop.Order", models.PROTECT, related_name="journal")),
                ("what", models.CharField(max_length=100)),
                ("minor", models.BigIntegerField()),
            ],
        ),
        migrations.RunPython(make_guards_tables, migrations.RunPython.noop),
    ]
