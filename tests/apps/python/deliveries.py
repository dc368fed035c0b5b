"""An application that appends the id of each webhook that it took to the file DELIVERIES, one in a line."""

import json
import os


def app(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    with open(os.environ["DELIVERIES"], "a") as log:
        log.write(json.loads(body)["event_id"] + "\n")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"thanks"]
