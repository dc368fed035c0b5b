"""Parses streams of HTTP/1.1 requests with h11, and with the parsers of gunicorn and waitress.

Each line of the input is one stream in hexadecimal. Each line of the output is a JSON object: for every parser the
requests that it read completely, as [method, body in hexadecimal], and "error" when it refused what follows them."""

import json
import sys

import h11
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser


def by_h11(stream):
    connection = h11.Connection(our_role=h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(stream)
    connection.receive_data(b"")
    method, body = None, b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            method, body = event.method.decode(), b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            yield method, body
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()
        else:
            return


def by_gunicorn(stream):
    for request in RequestParser(Config(), iter([stream]), ("127.0.0.1", 1)):
        length = dict(request.headers).get("CONTENT-LENGTH")
        body = request.body.read()
        if length is not None and len(body) != int(length):
            return
        yield request.method, body


def by_waitress(stream):
    settings = Adjustments()
    while stream:
        parser = HTTPRequestParser(settings)
        while stream and not parser.completed:
            used = parser.received(stream)
            stream = stream[used:]
        if not parser.completed:
            return
        if parser.empty:  # Empty lines before a request.
            continue
        if parser.error:
            raise ValueError(parser.error)
        yield parser.command, parser.get_body_stream().read()
        if parser.connection_close:
            return


def judge(parse, stream):
    requests = []
    try:
        for method, body in parse(stream):
            requests.append([method, body.hex()])
    except Exception as error:  # The parsers have no common class of errors.
        return {"requests": requests, "error": repr(error)[:120]}
    return {"requests": requests, "error": None}


for line in sys.stdin:
    stream = bytes.fromhex(line)
    judges = {"h11": by_h11, "gunicorn": by_gunicorn, "waitress": by_waitress}
    print(json.dumps({name: judge(parse, stream) for name, parse in judges.items()}))
