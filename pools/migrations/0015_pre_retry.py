"""Since when it counts how often an allocation was tried: whoever lets it be tried again begins anew."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pools", "0014_pre_fragmentation")]

    operations = [
        migrations.AddField(model_name="allocation", name="retried_at", field=models.DateTimeField(null=True)),
    ]
