#!/usr/bin/env python3
"""Records `hookgate demo` as an SVG: HG=target/release/hookgate python3 docs/pictures/record.py

It runs the real command on a pseudo-terminal and writes docs/pictures/demo.svg. Python 3.11, standard library only.
"""

import html
import os
import pathlib
import pty
import re
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
COMMAND = ["demo", "--exit"]
CHARACTER, LINE, PADDING = 8.43, 19, 16
COLOURS = {"1": ("#ffffff", True), "2": ("#8b949e", False), "32": ("#3fb950", False), "1;31": ("#ff7b72", True), "36": ("#79c0ff", False)}


def record() -> str:
    """The output of the command as a person sees it on a terminal."""
    controller, terminal = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color"}
    program = os.environ.get("HG", "target/release/hookgate")
    process = subprocess.Popen([program, *COMMAND], stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    output = b""
    while True:
        try:
            piece = os.read(controller, 65536)
        except OSError:
            break
        if not piece:
            break
        output += piece
    assert process.wait() == 0, output
    return output.decode().replace("\r", "")


def spans(line: str) -> str:
    """One line with ANSI colours as spans of SVG."""
    parts, style = [], None
    for piece in re.split(r"(\x1b\[[0-9;]*m)", line):
        if piece.startswith("\x1b"):
            style = COLOURS.get(piece[2:-1])
        elif piece:
            text = html.escape(piece)
            if style:
                colour, bold = style
                weight = ' font-weight="600"' if bold else ""
                text = f'<tspan fill="{colour}"{weight}>{text}</tspan>'
            parts.append(text)
    return "".join(parts)


def picture(output: str) -> str:
    lines = ["$ hookgate demo", *output.rstrip("\n").split("\n")]
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    width = round(max(map(len, plain)) * CHARACTER + 2 * PADDING)
    height = len(lines) * LINE + 2 * PADDING
    rows = []
    for at, line in enumerate(lines):
        # Each line appears a little later, as on a terminal; without animation all of them are there.
        delay = 0 if at == 0 else 0.8 + 0.12 * at
        rows.append(
            f'<text x="{PADDING}" y="{PADDING + 14 + at * LINE}" xml:space="preserve" style="animation-delay:{delay:.2f}s">{spans(line)}</text>'
        )
    style = (
        "text{font:14px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#e6edf3;white-space:pre}"
        "@media (prefers-reduced-motion:no-preference){text{animation:show .01s linear both}}"
        "@keyframes show{from{opacity:0}to{opacity:1}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="hookgate demo: genuine requests are forwarded, forged ones are refused"><style>{style}</style>'
        f'<rect width="100%" height="100%" rx="8" fill="#0d1117"/>{"".join(rows)}</svg>\n'
    )


(HERE / "demo.svg").write_text(picture(record()))
