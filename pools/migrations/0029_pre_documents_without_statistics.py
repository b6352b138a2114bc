"""Nothing is looked for in the documents of allocations, so they are left out of the server's statistics.

Reading a sample of them was most of what ANALYZE cost, in each minute in which many allocations come and go.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("pools", "0028_pre_logs_in_order")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE allocation ALTER spec SET STATISTICS 0, ALTER decision SET STATISTICS 0",
            reverse_sql="ALTER TABLE allocation ALTER spec SET STATISTICS -1, ALTER decision SET STATISTICS -1",
        ),
    ]
