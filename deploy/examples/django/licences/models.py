from django.db import models


class Fulfilment(models.Model):
    """An event that was fulfilled."""

    event = models.CharField(max_length=64, unique=True)
    transaction = models.CharField(max_length=64)
    seats = models.PositiveIntegerField()
