"""An application that verifies every webhook again with Paddle's official Python SDK.

The integration tests run it under gunicorn behind hookgate. It proves that header and body arrived as signed: it answers
200 only when the SDK agrees, and its answer describes what it received.
"""

import hashlib
import os
from importlib.metadata import version

from flask import Flask, jsonify, request
from paddle_billing.Notifications import Secret, Verifier
from paddle_billing.Notifications.PaddleSignature import PaddleSignature

SECRET = os.environ["APP_SECRET"]
# The SDK's own default is 5 s; a loaded test machine is given more.
TOLERANCE = 60

app = Flask(__name__)


def sdk_agrees(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        # SDK 1.16.1's Verifier decodes the body as UTF-8 and raises; its parser and its MAC take bytes.
        timestamp, hashes = PaddleSignature.parse(request.headers["Paddle-Signature"])
        mac = PaddleSignature.calculate_hmac(SECRET, f"{timestamp}:".encode() + body).hexdigest()
        return mac in hashes["h1"]
    return Verifier(TOLERANCE).verify(request, Secret(SECRET))


@app.post("/webhooks/paddle")
def webhook():
    # Before the SDK reads the body: get_data() caches it, and request.data then reads the cache.
    body = request.get_data()
    agrees = sdk_agrees(body)
    return jsonify(
        sdk=f"paddle-python-sdk {version('paddle-python-sdk')}",
        agrees=agrees,
        length=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        verified=request.headers.get("Hookgate-Verified"),
        transfer_encoding=request.headers.get("Transfer-Encoding"),
        content_length=request.headers.get("Content-Length"),
    ), 200 if agrees else 422


@app.post("/sign")
def sign():
    """Signs with the SDK's own MAC: a signer that shares no code with hookgate or its tests."""
    timestamp = request.args["ts"]
    mac = PaddleSignature.calculate_hmac(SECRET, timestamp.encode() + b":" + request.get_data()).hexdigest()
    return f"ts={timestamp};h1={mac}"
