"""Draws the text of standard input as a terminal, as SVG on standard output."""
import html, sys, textwrap

lines = []
for line in sys.stdin.read().rstrip().split("\n"):
    lines += textwrap.wrap(line, 96, subsequent_indent="    ", drop_whitespace=False, replace_whitespace=False) or [""]
height = 20 * len(lines) + 54
print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 {height}" role="img" aria-label="Output of a command">')
print(f'<rect width="860" height="{height}" rx="10" fill="#0f141a"/>')
for x, colour in ((22, "#ff5f57"), (42, "#febc2e"), (62, "#28c840")):
    print(f'<circle cx="{x}" cy="20" r="6" fill="{colour}"/>')
print('<g font-family="ui-monospace,Menlo,Consolas,monospace" font-size="14" fill="#e6ebf1" xml:space="preserve">')
for number, line in enumerate(lines):
    colour = ""
    if line.startswith("$"):
        colour = ' fill="#74b0ff"'
    elif line.startswith("not genuine"):
        colour = ' fill="#ff9a92" font-weight="bold"'
    elif line.startswith("genuine"):
        colour = ' fill="#5fd394" font-weight="bold"'
    elif line.startswith(("cause", "likely")):
        colour = ' fill="#f0bd6a"'
    print(f'<text x="20" y="{52 + 20 * number}"{colour}>{html.escape(line)}</text>')
print("</g></svg>")
