"""A legacy Flask application of the kind that is never changed: it trusts every request.

Written as such applications were: `request.form`, `request.get_data()`, a text answer that the provider passes on to
the buyer. The integration tests run it unchanged under gunicorn behind hookgate.
"""

from flask import Flask, Response, abort, request

app = Flask(__name__)
orders = []


@app.route("/webhooks/paddle", methods=["POST"])
def webhook():
    raw = request.get_data()
    orders.append(raw)
    return Response(raw, status=200, mimetype="application/octet-stream")


@app.route("/fulfil", methods=["POST"])
def fulfil():
    if "email" not in request.form:
        abort(400)
    orders.append(dict(request.form))
    return "Dear {name},\r\nyour licence is {quantity} x ABC-123.\r\n".format(
        name=request.form["customer_name"], quantity=request.form.get("p_quantity", "1")
    )


@app.route("/orders")
def count():
    return str(len(orders))
