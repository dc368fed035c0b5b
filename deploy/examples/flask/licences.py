"""A shop's licence generator, a typical legacy application: it verifies no signature.

Paddle Billing sends JSON to /webhooks/billing. Paddle Classic requests the licence text of an order from /fulfil, by POST or
GET, and e-mails the answer to the buyer unchanged. An old product, from before `p_signature`, still uses /fulfil/legacy.
"""

import hashlib
import hmac
import logging
import os
import sqlite3

from flask import Flask, Response, abort, g, jsonify, request

app = Flask(__name__)
app.logger.setLevel(logging.INFO)
DATABASE = os.path.join(os.environ.get("STATE", "."), "licences.sqlite3")


def database():
    if "database" not in g:
        g.database = sqlite3.connect(DATABASE, timeout=20)
        g.database.execute("create table if not exists fulfilled (id text primary key, seats integer)")
    return g.database


@app.teardown_appcontext
def close_database(_):
    if "database" in g:
        g.pop("database").close()


def fulfil(id, seats):
    """Fulfils an order once, even if it is requested several times."""
    app.logger.info("received %s", id)
    with database() as transaction:
        done = transaction.execute("insert or ignore into fulfilled values (?, ?)", (id, seats))
    if done.rowcount:
        app.logger.info("fulfilled %s: %s seats", id, seats)


def licence(order, seat):
    mac = hmac.new(os.environ["LICENCE_SECRET"].encode(), f"{order}/{seat}".encode(), hashlib.sha256)
    key = mac.hexdigest()[:20].upper()
    return "-".join(key[at : at + 5] for at in range(0, 20, 5))


@app.post("/webhooks/billing")
def billing():
    event = request.get_json()
    if event["event_type"] != "transaction.completed":
        app.logger.info("received %s", event["event_id"])
        return jsonify(ignored=event["event_type"])
    transaction = event["data"]
    seats = sum(item["quantity"] for item in transaction["items"])
    fulfil(event["event_id"], seats)
    # One line for each seat, generated while it is sent.
    keys = (f"{licence(transaction['id'], seat)}\r\n" for seat in range(1, seats + 1))
    return Response(keys, content_type="text/plain; charset=utf-8")


@app.route("/fulfil", methods=["GET", "POST"])
@app.post("/fulfil/legacy")
def classic():
    order = request.form if request.method == "POST" else request.args
    if "p_order_id" not in order:
        abort(400)
    fulfil(order["p_order_id"], int(order["p_quantity"]))
    keys = "\r\n".join(licence(order["p_order_id"], seat + 1) for seat in range(int(order["p_quantity"])))
    text = f"Dear {order['customer_name']},\r\n\r\nyour licence:\r\n{keys}\r\n"
    return Response(text, content_type="text/plain; charset=utf-8")
