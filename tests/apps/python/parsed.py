"""Returns how a WSGI server parsed each request, under the server that the command line names.

The integration tests send the same hostile bytes through hookgate to this and to a recording upstream, and compare.
"""

import json
import os
import sys

SEEN = []


def app(environ, start_response):
    if environ["PATH_INFO"] == "/seen":
        body = json.dumps(SEEN).encode()
        SEEN.clear()
    else:
        length = environ.get("CONTENT_LENGTH") or "0"
        SEEN.append(
            {
                "method": environ["REQUEST_METHOD"],
                "path": environ["PATH_INFO"],
                "query": environ.get("QUERY_STRING", ""),
                "length": length,
                "type": environ.get("CONTENT_TYPE", ""),
                "body": environ["wsgi.input"].read(int(length)).hex(),
                "headers": {name[5:]: value for name, value in environ.items() if name.startswith("HTTP_")},
            }
        )
        body = b"parsed"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def listening(port):
    print(f"Listening at: http://127.0.0.1:{port}", flush=True)


def main(server):
    port = int(os.environ.get("PORT", "0"))
    if server == "waitress":
        from waitress import create_server

        running = create_server(app, host="127.0.0.1", port=port, threads=1, clear_untrusted_proxy_headers=False)
        listening(running.effective_port)
        running.run()
    elif server == "werkzeug":
        from werkzeug.serving import make_server

        running = make_server("127.0.0.1", port, app)
        listening(running.server_port)
        running.serve_forever()
    elif server == "wsgiref":
        from wsgiref.simple_server import make_server

        running = make_server("127.0.0.1", port, app)
        listening(running.server_port)
        running.serve_forever()
    else:
        sys.exit(f"{server} is none of waitress, werkzeug and wsgiref")


if __name__ == "__main__":
    main(sys.argv[1])
