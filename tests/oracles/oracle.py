"""Verifies requests with Python libraries that providers (and others) publish: one JSON object per line in, one out.

It works like oracle.mjs. The clock is an argument here too and replaces the one that each library reads.
"""

import asyncio
import json
import sys
from importlib.metadata import version
from types import SimpleNamespace

import pywa.utils
from fastapi_security_typeform import SignatureHeader
from fastapi_security_typeform.hash_methods import hmac_sha256
from paddle_billing.Notifications import Secret
from slack_sdk.signature import SignatureVerifier

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


PROVIDERS = {
    "paddle": ("paddle-python-sdk", paddle_verifies),
    "slack": ("slack-sdk", slack_verifies),
    "typeform": ("fastapi-security-typeform", typeform_verifies),
    "meta": ("pywa", meta_verifies),
}


def answer(request):
    if request["op"] == "list":
        return {name: f"{library} {version(library)}" for name, (library, _) in PROVIDERS.items()}
    request["headers"] = {name.lower(): value for name, value in request["headers"].items()}
    try:
        return {"genuine": bool(PROVIDERS[request["provider"]][1](request))}
    except Exception as error:  # A library refuses by raising.
        return {"genuine": False, "error": repr(error)}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
