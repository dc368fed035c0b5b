"""Verifies requests with Python libraries that providers (and others) publish: one JSON object per line in, one out.

It works like oracle.mjs. The clock is an argument here too and replaces the one that each library reads.
"""

import asyncio
import json
import sys
from importlib.metadata import version
from types import SimpleNamespace

import django.conf

django.conf.settings.configure()

import elevenlabs.webhooks_custom
import pydantic
import pywa.utils
from anymail.webhooks.base import AnymailBasicAuthMixin
from anymail.webhooks.mandrill import MandrillSignatureMixin
from django.http import QueryDict
from fastapi_security_typeform import SignatureHeader
from fastapi_security_typeform.hash_methods import hmac_sha256
from paddle_billing.Notifications import Secret
from pyairtable.models.webhook import WebhookNotification
from slack_sdk.signature import SignatureVerifier
from viberbot import Api, BotConfiguration

# The package exports a class under the name of the module that contains it.
paddle = sys.modules["paddle_billing.Notifications.Verifier"]


def paddle_verifies(request):
    paddle.time = lambda: request["now"]
    fake = SimpleNamespace(headers={"Paddle-Signature": request["headers"].get("paddle-signature")}, body=request["body"].encode())
    return paddle.Verifier(5).verify(fake, Secret(request["secret"]))


def slack_verifies(request):
    headers = request["headers"]
    clock = SimpleNamespace(now=lambda: request["now"])
    return SignatureVerifier(request["secret"], clock=clock).is_valid(
        body=request["body"], timestamp=headers["x-slack-request-timestamp"], signature=headers["x-slack-signature"]
    )


def typeform_verifies(request):
    async def body():
        return request["body"].encode()

    fake = SimpleNamespace(headers={"Typeform-Signature": request["headers"]["typeform-signature"]}, body=body)
    # Its constructor registers with FastAPI in a way that newer versions refuse; the check does not need it.
    checker = SignatureHeader.__new__(SignatureHeader)
    checker.secret, checker.auto_error, checker.hash_method = request["secret"].encode(), False, hmac_sha256
    checker.signature_prefix, checker.header_name = "sha256=", "Typeform-Signature"
    return asyncio.run(checker(fake)) is not None


def meta_verifies(request):
    return pywa.utils.webhook_updates_validator(
        app_secret=request["secret"], request_body=request["body"].encode(), x_hub_signature=request["headers"]["x-hub-signature-256"]
    )


def viber_verifies(request):
    configuration = BotConfiguration(name="b", avatar="", auth_token=request["secret"])
    return Api(configuration).verify_signature(request["body"].encode(), request["headers"]["x-viber-content-signature"])


def airtable_verifies(request):
    try:
        WebhookNotification.from_request(request["body"], request["headers"]["x-airtable-content-mac"], request["secret"])
    except pydantic.ValidationError:
        # The signature was accepted. The body is not one of Airtable's.
        pass
    return True


def mandrill_verifies(request):
    checker = SimpleNamespace(webhook_key=request["secret"].encode(), webhook_url=request["url"])
    fake = SimpleNamespace(META={"HTTP_X_MANDRILL_SIGNATURE": request["headers"]["x-mandrill-signature"]}, POST=QueryDict(request["body"]))
    MandrillSignatureMixin.validate_request(checker, fake)
    return True


def postmark_verifies(request):
    checker = SimpleNamespace(basic_auth=[request["secret"]], warn_if_no_basic_auth=False)
    fake = SimpleNamespace(META={"HTTP_AUTHORIZATION": request["headers"]["authorization"]})
    AnymailBasicAuthMixin.validate_request(checker, fake)
    return True


def elevenlabs_verifies(request):
    elevenlabs.webhooks_custom.time = SimpleNamespace(time=lambda: request["now"])
    elevenlabs.webhooks_custom.WebhooksClient.construct_event(None, request["body"], request["headers"]["elevenlabs-signature"], request["secret"])
    return True


PROVIDERS = {
    "airtable": ("pyairtable", airtable_verifies),
    "elevenlabs": ("elevenlabs", elevenlabs_verifies),
    "mandrill": ("django-anymail", mandrill_verifies),
    "postmark": ("django-anymail", postmark_verifies),
    "viber": ("viberbot", viber_verifies),
    "paddle": ("paddle-python-sdk", paddle_verifies),
    "slack": ("slack-sdk", slack_verifies),
    "typeform": ("fastapi-security-typeform", typeform_verifies),
    "meta": ("pywa", meta_verifies),
}


def answer(request):
    if request["op"] == "list":
        return {name: {"library": f"{library} {version(library)}", "signs": False} for name, (library, _) in PROVIDERS.items()}
    request["headers"] = {name.lower(): value for name, value in request["headers"].items()}
    try:
        return {"genuine": bool(PROVIDERS[request["provider"]][1](request))}
    except Exception as error:  # A library refuses by raising.
        return {"genuine": False, "error": repr(error)}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
