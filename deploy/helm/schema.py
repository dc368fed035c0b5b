#!/usr/bin/env python3
"""Writes what the chart's values.schema.json knows of gateway.toml, from the tables of docs/configuration.md, which a test
compares with the program: schema.py [--check]. The rest of the file is written by hand."""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "deploy/helm/hookgate/values.schema.json"
# Keys that the chart sets from values of its own.
OWN = {
    "": {"listen", "admin", "console", "drain", "route", "upstreams"},
    "listen": {"address", "name", "tls", "plaintext", "trusted_proxies", "proxy_protocol", "unix", "mode"},
    "admin": {"address"},
    "console": {"address"},
    "route": {"name", "path", "provider", "secrets", "public_keys", "upstream"},
}
DURATION = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"}
TYPES = {
    "count": {"type": "integer", "minimum": 0},
    "percent": {"type": "integer", "minimum": 0, "maximum": 100},
    "duration": DURATION,
    "size": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+ *([kKMG]i?)?B$"}]},
    "rate": {"type": "string", "pattern": "^[0-9]+ */ *[smh]$"},
    "boolean": {"type": "boolean"},
    "list": {"type": "array"},
    "list of statuses": {"type": "array", "items": {"type": "integer", "minimum": 100, "maximum": 599}},
    "networks": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    "names": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
}
TEXT = {"text", "name", "path", "host", "method", "URL", "address", "JSON pointer", "octal text"}


def tables():
    """The rows (key, type) of every table with a marker, by its path."""
    found, path = {}, None
    for line in (ROOT / "docs/configuration.md").read_text().splitlines():
        marker = re.match(r"<!-- keys: ?(\S*) -->", line)
        row = re.match(r"\| `([a-z0-9_]+)` \| ([^|]*) \|", line)
        if marker:
            path, in_table = marker[1], False
            found[path] = {}
        elif path is not None and row:
            in_table = True
            found[path][row[1]] = row[2].strip()
        elif path is not None and not line.startswith("|") and in_table:
            path = None
    return found


def schema(path, text, known):
    """The schema of one key, from the text of its type column."""
    below = table(path, known) if path in known else {"type": "object"}
    choices = re.findall(r'`"?([^`"]+)"?`', text) if re.fullmatch(r'(`[^`{]+`(, | or )?)+', text) else []
    if choices:
        return {"enum": [int(choice) if choice.isdigit() else choice for choice in choices]}
    alternatives = []
    for part in re.split(r",\s*|\s+or\s+", text):
        part = part.strip()
        quoted = re.fullmatch(r'`"([^"`]+)"`', part)
        if quoted:
            alternatives.append({"enum": [quoted[1]]})
        elif part in ("table", "tables") or part.startswith("`{"):
            alternatives.append(below)
        elif part == "list" and path in known:
            alternatives.append({"type": "array", "items": {"anyOf": [{"type": "string"}, below]}})
        elif part in TYPES:
            alternatives.append(TYPES[part])
        elif part in TEXT:
            alternatives.append({"type": "string"})
        else:
            # A list of something, or a type without a rule here: hookgate itself checks the value.
            return {}
    if path.endswith("tolerance"):
        alternatives.append({"enum": ["unlimited"]})
    return alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}


def table(path, known, left_out=()):
    """The schema of a table: its keys and no others."""
    prefix = f"{path}." if path else ""
    keys = {key: schema(prefix + key, text, known) for key, text in known[path].items() if key not in left_out}
    if path == "route" and "custom" in keys:
        keys["custom"] = {"type": "object"}
    if path.startswith("upstreams") and "headers" in keys:
        keys["headers"] = {"type": "object"}
    return {"type": "object", "additionalProperties": False, "properties": keys}


def generated():
    known = tables()
    return {
        "settings": table("", known, OWN[""]),
        "listenSettings": table("listen", known, OWN["listen"]),
        "listener": {**table("listen", known), "required": ["address"]},
        "adminSettings": table("admin", known, OWN["admin"]),
        "consoleSettings": table("console", known, OWN["console"]),
        "routeSettings": table("route", known, OWN["route"]),
        "upstream": {**table("upstreams.NAME", known), "required": ["url"]},
    }


def main():
    old = SCHEMA.read_text()
    document = json.loads(old)
    document["definitions"] = {**document.get("definitions", {}), **generated()}
    new = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if "--check" in sys.argv:
        if new != old:
            sys.exit("values.schema.json is out of date: run deploy/helm/schema.py")
    else:
        SCHEMA.write_text(new)


if __name__ == "__main__":
    main()
