"""Signs and verifies requests with tokens, and with message signatures, with Python libraries: one JSON object per line in, one out.

It works like tokens.mjs, so that both languages judge the same presets.
"""

import base64
import datetime
import hashlib
import json
import sys
import uuid
import zlib
from importlib.metadata import version

import google.auth.jwt
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.auth import crypt
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms


class SharedSecret(HTTPSignatureKeyResolver):
    def __init__(self, secret):
        self.secret = secret.encode()

    def resolve_private_key(self, key_id):
        return self.secret

    def resolve_public_key(self, key_id):
        return self.secret


def content_digest(body):
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}:"


def message_of(request, headers):
    message = requests.Request("POST", request["url"], headers=headers, data=request["body"].encode()).prepare()
    # The library reads the URL of the message; requests would spell some characters in another way.
    message.url = request["url"]
    return message


def message_signs(request):
    headers = {"Content-Type": "application/json", "Content-Digest": content_digest(request["body"])}
    message = message_of(request, headers)
    signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=SharedSecret(request["secret"]))
    signer.sign(
        message,
        key_id="k",
        created=datetime.datetime.fromtimestamp(request["now"]),
        label="sig1",
        use_existing_digest=True,
        covered_component_ids=("@method", "@authority", "@path", "@query", "content-type", "content-digest"),
    )
    names = ("Content-Type", "Content-Digest", "Signature-Input", "Signature")
    return {"headers": {name: message.headers[name] for name in names}}


def message_verifies(request):
    message = message_of(request, request["headers"])
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=SharedSecret(request["secret"]))
    verified = verifier.verify(message, max_age=datetime.timedelta(minutes=5))
    covered = verified[0].covered_components
    is_covered = any("content-digest" in name for name in covered)
    return is_covered and message.headers["content-digest"] == content_digest(request["body"])


def number(value):
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode().rstrip("=")


def google_signs(request):
    """A token as Google's library makes it, which the library accepts too, and the set in which its key is published."""
    key, kid, now = rsa.generate_private_key(65537, 2048), str(uuid.uuid4()), request["now"]
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = {"iss": "https://accounts.google.com", "aud": "audience", "email": "push@example.iam.gserviceaccount.com", "email_verified": True, "iat": now, "exp": now + 3600, "sub": "1"}
    token = google.auth.jwt.encode(crypt.RSASigner.from_string(pem, kid), claims).decode()
    google.auth.jwt.decode(token, certs={kid: public}, audience="audience", clock_skew_in_seconds=60)
    numbers = key.public_key().public_numbers()
    jwk = {"kty": "RSA", "kid": kid, "alg": "RS256", "use": "sig", "n": number(numbers.n), "e": number(numbers.e)}
    return {"headers": {"Authorization": f"Bearer {token}"}, "kid": kid, "keys": json.dumps({"keys": [jwk]})}


def paypal_text(request, headers):
    """What PayPal signs, by its documentation of the verification on one's own."""
    checksum = zlib.crc32(request["body"].encode())
    return f"{headers['paypal-transmission-id']}|{headers['paypal-transmission-time']}|{request['webhook']}|{checksum}".encode()


def paypal_signs(request):
    time = datetime.datetime.fromtimestamp(request["now"], datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    headers = {
        "paypal-transmission-id": str(uuid.uuid4()),
        "paypal-transmission-time": time,
        "paypal-cert-url": request["certificate_url"],
        "paypal-auth-algo": "SHA256withRSA",
    }
    key = serialization.load_pem_private_key(request["key"].encode(), None)
    signature = key.sign(paypal_text(request, headers), padding.PKCS1v15(), hashes.SHA256())
    return {"headers": {**headers, "paypal-transmission-sig": base64.b64encode(signature).decode()}}


def paypal_verifies(request):
    headers = request["headers"]
    certificate = x509.load_pem_x509_certificate(request["certificate"].encode())
    signature = base64.b64decode(headers["paypal-transmission-sig"], validate=True)
    certificate.public_key().verify(signature, paypal_text(request, headers), padding.PKCS1v15(), hashes.SHA256())
    return True


PROVIDERS = {
    "google-pubsub": ("google-auth", google_signs, None),
    "http-signatures": ("http-message-signatures", message_signs, message_verifies),
    "paypal": ("cryptography", paypal_signs, paypal_verifies),
}


def answer(request):
    if request["op"] == "list":
        return {name: {"library": f"{library} {version(library)}", "signs": True} for name, (library, _, _) in PROVIDERS.items()}
    _, sign, verify = PROVIDERS[request["provider"]]
    if request["op"] == "sign":
        try:
            return sign(request)
        except Exception as error:
            return {"failed": repr(error)}
    try:
        return {"genuine": verify(request)}
    except Exception as error:  # A library refuses by raising.
        return {"genuine": False, "error": repr(error)}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
