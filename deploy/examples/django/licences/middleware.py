"""Refuses requests that did not come through hookgate."""

from django.conf import settings
from django.http import HttpResponseForbidden
from django.utils.crypto import constant_time_compare


class ThroughHookgate:
    """hookgate adds the header (gateway.toml). No other client knows its value."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if not constant_time_compare(request.headers.get("X-Gateway-Token", ""), settings.GATEWAY_TOKEN):
            return HttpResponseForbidden("Not through here.\n")
        return self.get_response(request)
