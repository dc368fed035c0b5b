import hashlib
import hmac
import json
import logging

from django.conf import settings
from django.http import JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from .models import Fulfilment

log = logging.getLogger(__name__)


# A provider has no session and no CSRF token. The signature, which hookgate verified, proves who sent the request.
@csrf_exempt
@require_POST
def webhook(request):
    event = json.loads(request.body)
    log.info("received %s", event["event_id"])
    if event["event_type"] != "transaction.completed":
        return JsonResponse({"ignored": event["event_type"]})
    transaction = event["data"]["id"]
    seats = sum(item["quantity"] for item in event["data"]["items"])
    # Fulfils an event once, even if Paddle delivers it several times.
    _, is_new = Fulfilment.objects.get_or_create(
        event=event["event_id"], defaults={"transaction": transaction, "seats": seats}
    )
    if is_new:
        log.info("fulfilled %s: %s seats", event["event_id"], seats)
    return StreamingHttpResponse(licences(transaction, seats), content_type="text/plain; charset=utf-8")


def licences(transaction, seats):
    """One line for each seat, generated while it is sent."""
    for seat in range(1, seats + 1):
        mac = hmac.new(settings.LICENCE_SECRET.encode(), f"{transaction}/{seat}".encode(), hashlib.sha256)
        key = mac.hexdigest()[:20].upper()
        yield "-".join(key[at : at + 5] for at in range(0, 20, 5)) + "\r\n"
