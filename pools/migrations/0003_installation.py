"""The id of this installation, which stands in every marker on a platform."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("pools", "0002_pre_triggers_and_append_only")]
    operations = [migrations.RunSQL((SQL / "0003_installation.sql").read_text(), "DROP TABLE installation")]
