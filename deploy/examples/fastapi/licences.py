"""A licence service that declares its input as a pydantic model. When its code runs, the bytes that Paddle signed are no longer
available, so it cannot verify a webhook. hookgate verifies it."""

import hashlib
import hmac
import logging
import os
import sqlite3
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

DATABASE = os.path.join(os.environ.get("STATE", "."), "licences.sqlite3")
GATEWAY_TOKEN = os.environ["GATEWAY_TOKEN"]
LICENCE_SECRET = os.environ["LICENCE_SECRET"]
log = logging.getLogger("uvicorn.error")


class Item(BaseModel):
    quantity: int


class Transaction(BaseModel):
    id: str
    items: list[Item] = []


class Event(BaseModel):
    event_id: str
    event_type: str
    data: Transaction


def through_hookgate(x_gateway_token: Annotated[str, Header()] = "") -> None:
    """hookgate adds the header (gateway.toml). No other client knows its value."""
    if not hmac.compare_digest(x_gateway_token.encode(), GATEWAY_TOKEN.encode()):
        raise HTTPException(403, "not through here")


app = FastAPI(dependencies=[Depends(through_hookgate)])


@app.post("/webhooks/paddle")
def webhook(event: Event):
    log.info("received %s", event.event_id)
    if event.event_type != "transaction.completed":
        return {"ignored": event.event_type}
    seats = sum(item.quantity for item in event.data.items)
    fulfil(event.event_id, seats)
    return StreamingResponse(licences(event.data.id, seats), media_type="text/plain")


def fulfil(event: str, seats: int) -> None:
    """Fulfils an event once, even if Paddle delivers it several times."""
    database = sqlite3.connect(DATABASE, timeout=20)
    try:
        with database:
            database.execute("create table if not exists fulfilled (id text primary key, seats integer)")
            done = database.execute("insert or ignore into fulfilled values (?, ?)", (event, seats))
    finally:
        database.close()
    if done.rowcount:
        log.info("fulfilled %s: %s seats", event, seats)


def licences(transaction: str, seats: int) -> Iterator[str]:
    """One line for each seat, generated while it is sent."""
    for seat in range(1, seats + 1):
        mac = hmac.new(LICENCE_SECRET.encode(), f"{transaction}/{seat}".encode(), hashlib.sha256)
        key = mac.hexdigest()[:20].upper()
        yield "-".join(key[at : at + 5] for at in range(0, 20, 5)) + "\r\n"
