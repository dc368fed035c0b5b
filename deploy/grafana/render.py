#!/usr/bin/env python3
"""Draws the dashboard of hookgate.json as an SVG picture, from a Prometheus that has data. Standard library only.

    render.py http://127.0.0.1:9090 [--seconds 900] [--job hookgate] > dashboard.svg

It runs the queries of the dashboard's panels, so the picture shows what Grafana would show. docs/dashboard.svg is made by
`make picture`: hookgate under real traffic, scraped by a real Prometheus.
"""

import argparse
import json
import math
import pathlib
import re
import time
import urllib.parse
import urllib.request
from xml.sax.saxutils import escape

WIDTH, ROW, GAP = 1440, 30, 8
BACK, PANEL, EDGE, TEXT, FAINT, GRID = "#111217", "#181b1f", "#2a2d33", "#d8d9da", "#8e9299", "#2c3036"
NAMED = {"green": "#73bf69", "yellow": "#fade2a", "red": "#f2495c", "orange": "#ff9830", "blue": "#5794f2", "purple": "#b877d9"}
PALETTE = ["#73bf69", "#fade2a", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#ffa6b0", "#56a64b", "#ca95e5"]
TURBO = ["#30123b", "#4458cb", "#3e9bfe", "#18d6cb", "#46f884", "#a2fc3c", "#e1dd37", "#fea632", "#f05b12", "#c42503"]


class Source:
    """A Prometheus server, and values for the dashboard's variables."""

    def __init__(self, url, job, seconds, end):
        self.url, self.job, self.seconds, self.end = url.rstrip("/"), job, seconds, end
        self.step = max(1, seconds // 240)

    def text(self, expr):
        values = {"$__rate_interval": f"{max(4 * self.step, 10)}s", "$__interval": f"{self.step}s",
                  "$job": self.job, "$instance": ".*", "$route": ".*"}
        for name, value in values.items():
            expr = expr.replace(name, value)
        return expr

    def range(self, expr):
        fields = {"query": self.text(expr), "start": self.end - self.seconds, "end": self.end, "step": self.step}
        with urllib.request.urlopen(f"{self.url}/api/v1/query_range?{urllib.parse.urlencode(fields)}") as answer:
            found = json.load(answer)["data"]["result"]
        return [(one["metric"], [(t, float(v)) for t, v in one["values"] if v not in ("NaN", "+Inf", "-Inf")])
                for one in found]


def legend(pattern, labels):
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda name: labels.get(name[1], ""), pattern)


def shown(value, unit):
    """Formats a number as Grafana does."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        for size, name in ((365 * 86400, "years"), (86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")):
            if abs(value) >= size:
                return f"{value / size:.{max(3, len(str(int(abs(value) / size))))}g} {name}"
        return "0 s"
    if unit == "bytes":
        for size, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
    for size, name in ((1e6, " M"), (1e3, " K")):
        if abs(value) >= size:
            value, unit = value / size, name + (" req/s" if unit == "reqps" else "")
            return f"{value:.3g}{unit}"
    return f"{value:.3g}" + {"reqps": " req/s", "ops": " ops/s"}.get(unit, "")


def ticks(top):
    """Three to five round steps from 0 to `top` or a little over."""
    raw = top / 4 if top > 0 else 0.25
    size = 10 ** math.floor(math.log10(raw))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= raw)
    return [step * i for i in range(math.ceil(top / step - 1e-9) + 1)] if top > 0 else [0, 1]


class Panel:
    def __init__(self, panel, source, top):
        self.panel, self.source = panel, source
        at = panel["gridPos"]
        cell = (WIDTH - GAP) / 24
        self.x, self.y = GAP + at["x"] * cell, top + at["y"] * ROW
        self.w, self.h = at["w"] * cell - GAP, at["h"] * ROW - GAP
        self.defaults = panel.get("fieldConfig", {}).get("defaults", {})
        self.unit = self.defaults.get("unit", "short")
        self.out = []

    def add(self, element):
        self.out.append(element)

    def label(self, x, y, text, size=11, fill=FAINT, anchor="start", weight="normal"):
        self.add(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}" '
                 f'font-weight="{weight}">{escape(text)}</text>')

    def draw(self):
        kind = self.panel["type"]
        if kind == "row":
            self.label(self.x + 4, self.y + 20, "▾ " + self.panel["title"], 14, TEXT, weight="600")
            return self.out
        self.add(f'<rect x="{self.x:.1f}" y="{self.y:.1f}" width="{self.w:.1f}" height="{self.h:.1f}" rx="3" '
                 f'fill="{PANEL}" stroke="{EDGE}"/>')
        self.label(self.x + 10, self.y + 19, self.panel["title"], 13, TEXT, weight="600")
        {"stat": self.stat, "timeseries": self.lines, "heatmap": self.heat, "bargauge": self.bars}[kind]()
        return self.out

    def series(self):
        found = []
        for target in self.panel["targets"]:
            for labels, points in self.source.range(target["expr"]):
                found.append((legend(target["legendFormat"], labels) or self.panel["title"], labels, points))
        found = [one for one in found if one[2]]
        # Series without an event would fill the legend.
        happened = [one for one in found if any(value for _, value in one[2])]
        return happened or found[:1]

    def overrides(self, name):
        given = {}
        for override in self.panel["fieldConfig"]["overrides"]:
            if override["matcher"]["options"] == name:
                given.update({one["id"]: one["value"] for one in override["properties"]})
        return given

    def threshold(self, value):
        steps = self.defaults["thresholds"]["steps"]
        return NAMED[[s["color"] for s in steps if s["value"] is None or value >= s["value"]][-1]]

    def stat(self):
        found = self.series()
        if not found:
            return self.label(self.x + self.w / 2, self.y + self.h / 2 + 10, "No data", 20, FAINT, "middle")
        points = found[0][2]
        last = points[-1][1]
        text = shown(last, self.unit)
        for mapping in self.defaults.get("mappings", []):
            text = mapping["options"].get(f"{last:g}", {}).get("text", text)
        fill = self.threshold(last)
        top, base = max(v for _, v in points) or 1, self.y + self.h - 3
        place = [(self.x + 2 + (t - self.source.end + self.source.seconds) / self.source.seconds * (self.w - 4),
                  base - v / top * self.h * 0.32) for t, v in points]
        path = " L".join(f"{x:.1f},{y:.1f}" for x, y in place)
        self.add(f'<path d="M{place[0][0]:.1f},{base:.1f} L{path} L{place[-1][0]:.1f},{base:.1f} Z" fill="{fill}" '
                 f'opacity="0.18"/><path d="M{path}" fill="none" stroke="{fill}" opacity="0.7"/>')
        self.label(self.x + self.w / 2, self.y + self.h * 0.62, text, 30, fill, "middle", "600")

    def frame(self, top, bottom, marks, write):
        """Grid, axes and times; gives the places of a time and of a value."""
        x0, x1, y0, y1 = self.x + 62, self.x + self.w - 14, self.y + self.h - bottom, self.y + 34
        for mark, text in zip(marks, write):
            y = y0 - (mark / top if top else 0) * (y0 - y1)
            self.add(f'<line x1="{x0:.1f}" y1="{y:.1f}" x2="{x1:.1f}" y2="{y:.1f}" stroke="{GRID}"/>')
            self.label(x0 - 7, y + 4, text, 11, FAINT, "end")
        count = 4 if self.w < 600 else 7
        for i in range(count):
            moment = self.source.end - self.source.seconds * (1 - (i + 0.5) / count)
            x = x0 + (i + 0.5) / count * (x1 - x0)
            self.label(x, y0 + 16, time.strftime("%H:%M:%S", time.gmtime(moment)), 11, FAINT, "middle")
        across = lambda t: x0 + (t - self.source.end + self.source.seconds) / self.source.seconds * (x1 - x0)
        return across, lambda v: y0 - (v / top if top else 0) * (y0 - y1)

    def lines(self):
        custom = self.defaults["custom"]
        stacked = custom["stacking"]["mode"] == "normal"
        found = self.series()
        if not found:
            return self.label(self.x + self.w / 2, self.y + self.h / 2, "No data", 16, FAINT, "middle")
        times = sorted({t for _, _, points in found for t, _ in points})
        right = [one for one in found if self.overrides(one[0]).get("custom.axisPlacement") == "right"]
        left = [one for one in found if one not in right]
        floor = dict.fromkeys(times, 0.0)
        drawn = []
        for at, (name, _, points) in enumerate(left):
            values = dict(points)
            lower = [(t, floor[t]) for t in times if t in values] if stacked else None
            if stacked:
                for t in times:
                    floor[t] += values.get(t, 0.0)
                points = [(t, floor[t]) for t in times if t in values]
            drawn.append((at, name, points, lower, values))
        rows = self.legend_rows([(name, shown(points[-1][1], self.overrides(name).get("unit", self.unit))) for name, _, points in left + right])
        top = max([self.defaults.get("max") or 0] + [v for _, _, points, _, _ in drawn for _, v in points])
        marks = ticks(top)
        across, up = self.frame(marks[-1], 32 + 16 * len(rows), marks, [shown(mark, self.unit) for mark in marks])
        colors = []
        for at, name, points, lower, values in drawn + [(len(left) + i, n, p, None, dict(p)) for i, (n, _, p) in enumerate(right)]:
            given = self.overrides(name)
            color = NAMED.get(given.get("color", {}).get("fixedColor"), PALETTE[at % len(PALETTE)])
            unit, place = self.unit, up
            if "unit" in given:
                unit, most = given["unit"], max(v for _, v in points) * 1.6
                place = lambda v, most=most: up(v / most * marks[-1])
            path = " L".join(f"{across(t):.1f},{place(v):.1f}" for t, v in points)
            if given.get("custom.fillOpacity", custom["fillOpacity"]) and "unit" not in given:
                base = lower or [(points[0][0], 0), (points[-1][0], 0)]
                back = " L".join(f"{across(t):.1f},{place(v):.1f}" for t, v in reversed(base))
                self.add(f'<path d="M{path} L{back} Z" fill="{color}" opacity="{0.45 if stacked else 0.08}"/>')
            dash = ' stroke-dasharray="7 6"' if "custom.lineStyle" in given else ""
            self.add(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="1.4"{dash}/>')
            colors.append(color)
        for at, row in enumerate(rows):
            x, y = self.x + 14, self.y + self.h - 10 - 16 * (len(rows) - 1 - at)
            for name, last, wide in row:
                self.add(f'<rect x="{x:.1f}" y="{y - 6:.1f}" width="14" height="4" rx="2" fill="{colors.pop(0)}"/>')
                self.add(f'<text x="{x + 19:.1f}" y="{y:.1f}" font-size="11" fill="{TEXT}">{escape(name)} '
                         f'<tspan fill="{FAINT}">{escape(last)}</tspan></text>')
                x += wide

    def legend_rows(self, keys):
        """The keys in as many rows as they need, each key with its width."""
        rows, x = [[]], 14
        for name, last in keys:
            wide = 6.3 * len(f"{name}  {last}") + 32
            if rows[-1] and x + wide > self.w:
                rows.append([])
                x = 14
            rows[-1].append((name, last, wide))
            x += wide
        return rows

    def heat(self):
        found = [(float(labels["le"].replace("+Inf", "inf")), dict(points)) for _, labels, points in self.series()]
        found.sort(key=lambda one: one[0])
        if not found:
            return self.label(self.x + self.w / 2, self.y + self.h / 2, "No data", 16, FAINT, "middle")
        names = ["> " + shown(found[-2][0], "s") if math.isinf(le) else "≤ " + (f"{le:g} s") for le, _ in found]
        across, up = self.frame(len(found), 42, [i + 0.35 for i in range(len(found))], names)
        counts, most = [], 0.0
        for at, (_, points) in enumerate(found):
            below = found[at - 1][1] if at else {}
            cells = {t: max(0.0, v - below.get(t, 0.0)) for t, v in points.items()}
            most = max([most, *cells.values()])
            counts.append(cells)
        wide = across(self.source.step) - across(0)
        for at, cells in enumerate(counts):
            for t, count in cells.items():
                if count > 0.01:
                    color = TURBO[min(len(TURBO) - 1, int((count / most) ** 0.5 * len(TURBO)))]
                    x = max(across(t) - wide, across(self.source.end - self.source.seconds))
                    self.add(f'<rect x="{x:.1f}" y="{up(at + 1) + 1:.1f}" width="{wide:.1f}" '
                             f'height="{up(at) - up(at + 1) - 1:.1f}" fill="{color}"/>')
        for at, color in enumerate(TURBO):
            self.add(f'<rect x="{self.x + 62 + at * 22:.1f}" y="{self.y + self.h - 15:.1f}" width="22" height="6" fill="{color}"/>')
        self.label(self.x + 56, self.y + self.h - 8, "few", anchor="end")
        self.label(self.x + 68 + len(TURBO) * 22, self.y + self.h - 8, "many webhooks")

    def bars(self):
        found = self.series()
        most = max((points[-1][1] for _, _, points in found), default=1)
        for at, (name, _, points) in enumerate(found):
            y, last = self.y + 42 + at * 46, points[-1][1]
            fill, full = self.threshold(last), self.w - 130
            self.label(self.x + 14, y + 4, name.rsplit("/", 1)[-1], 12, TEXT)
            for i in range(60):
                lit = i / 60 <= last / most
                self.add(f'<rect x="{self.x + 14 + i * full / 60:.1f}" y="{y + 10:.1f}" width="{full / 60 - 2:.1f}" height="18" '
                         f'fill="{fill if lit else GRID}"/>')
            self.label(self.x + self.w - 12, y + 25, shown(last, self.unit), 16, fill, "end", "600")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prometheus", help="its address, http://127.0.0.1:9090")
    parser.add_argument("--seconds", type=int, default=900, help="how far back the picture goes")
    parser.add_argument("--job", default="hookgate", help="the job that scrapes hookgate")
    options = parser.parse_args()
    dashboard = json.loads(pathlib.Path(__file__).with_name("hookgate.json").read_text())
    source = Source(options.prometheus, options.job, options.seconds, int(time.time()))
    body, top = [], 54
    for panel in dashboard["panels"]:
        body += Panel(panel, source, top).draw()
    height = top + GAP + ROW * max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in dashboard["panels"])
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
          f'font-family="Inter, Helvetica, Arial, sans-serif">\n<rect width="{WIDTH}" height="{height}" fill="{BACK}"/>')
    print(f'<text x="16" y="34" font-size="20" font-weight="600" fill="{TEXT}">{escape(dashboard["title"])}</text>'
          f'<text x="{WIDTH - 16}" y="34" font-size="13" fill="{FAINT}" text-anchor="end">'
          f"last {options.seconds // 60 or 1} min, UTC</text>")
    print("\n".join(body) + "\n</svg>")


if __name__ == "__main__":
    main()
