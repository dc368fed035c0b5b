"""Senders and an application for the pictures of the console."""
import hashlib, hmac, http.server, json, os, random, sys, time, urllib.error, urllib.request

GATEWAY = "http://127.0.0.1:28443"


def paddle(number, spaces=True):
    body = json.dumps({"event_type": "transaction.completed", "data": {"id": f"txn_{number:04}", "status": "paid"}})
    stamp = str(int(time.time()) - random.choice([0, 0, 1]))
    secret = os.environ["PADDLE_WEBHOOK_SECRET"].encode()
    signature = hmac.new(secret, f"{stamp}:{body}".encode(), hashlib.sha256).hexdigest()
    sent = body if spaces else json.dumps(json.loads(body), separators=(",", ":"))
    headers = {"Paddle-Signature": f"ts={stamp};h1={signature}", "Content-Type": "application/json", "User-Agent": "Paddle"}
    return sent.encode(), headers


def send(path, body, headers):
    try:
        urllib.request.urlopen(urllib.request.Request(GATEWAY + path, body, headers)).read()
    except urllib.error.HTTPError as error:
        error.read()


def senders(count):
    for number in range(count):
        send("/webhooks/paddle", *paddle(random.randrange(10000)))
        if number % 9 == 0:
            send("/webhooks/paddle", *paddle(random.randrange(10000), spaces=False))
        if number % 14 == 0:
            send("/wp-login.php", b"log=admin", {})
        if number % 3 == 0:
            body = json.dumps({"ref": "refs/heads/main", "number": random.random()}).encode()
            signature = hmac.new(os.environ["GITHUB_SECRET"].encode(), body, hashlib.sha256).hexdigest()
            send("/webhooks/github", body, {"X-Hub-Signature-256": f"sha256={signature}", "X-GitHub-Event": "push", "X-GitHub-Delivery": str(random.random())})


class Application(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if sys.argv[1] == "application":
    http.server.ThreadingHTTPServer(("127.0.0.1", 28000), Application).serve_forever()
elif sys.argv[1] == "senders":
    senders(int(sys.argv[2]))
else:
    body, headers = paddle(1, spaces=False)
    head = "".join(f"{name}: {value}\n" for name, value in headers.items())
    print(f"POST /webhooks/paddle HTTP/1.1\nHost: shop.example.com\n{head}\n{body.decode()}", end="")
