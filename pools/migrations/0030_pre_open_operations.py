"""One index less that claims write: open operations of a pool are found among all that are not confirmed."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("pools", "0029_pre_documents_without_statistics")]

    operations = [migrations.RemoveIndex(model_name="operation", name="operation_open")]
