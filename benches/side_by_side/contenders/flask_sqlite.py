"""What one writes without a gateway: a handler that inserts each webhook into SQLite, durably, and answers."""

import os
import sqlite3
import threading

from flask import Flask, request

app = Flask(__name__)
path = os.environ["STORE"]
connections = threading.local()


def database():
    if not hasattr(connections, "database"):
        connections.database = sqlite3.connect(path, timeout=60, isolation_level=None)
        connections.database.execute("PRAGMA journal_mode = WAL")
        connections.database.execute("PRAGMA synchronous = FULL")
        connections.database.execute("CREATE TABLE IF NOT EXISTS webhook (seq INTEGER PRIMARY KEY, head TEXT, body BLOB)")
    return connections.database


@app.post("/webhooks/paddle")
def webhook():
    head = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
    database().execute("INSERT INTO webhook (head, body) VALUES (?, ?)", (head, request.get_data()))
    return ""
