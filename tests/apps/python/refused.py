"""Sends uploads that hookgate answers before it has read them, each on a connection of its own, with httpx:
refused.py http2|http1 URL CERTIFICATE BYTES TRIES. Prints one line for each: status and reason, or the error."""

import ssl
import sys

import httpx

version, url, certificate, length, tries = sys.argv[1:]
trust = ssl.create_default_context(cafile=certificate)
for _ in range(int(tries)):
    with httpx.Client(http2=version == "http2", verify=trust, trust_env=False, timeout=30) as client:
        try:
            response = client.post(url, content=b"x" * int(length))
            print(response.status_code, response.json()["reason"])
        except httpx.HTTPError as error:
            print(repr(error))
