from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Fulfilment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("event", models.CharField(max_length=64, unique=True)),
                ("transaction", models.CharField(max_length=64)),
                ("seats", models.PositiveIntegerField()),
            ],
        ),
    ]
