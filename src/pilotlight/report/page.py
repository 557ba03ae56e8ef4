"""The page around figures: headings, text, tables; its style holds for light and dark."""

from collections.abc import Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --ground: #fcfcfb; --ink: #0b0b0b; --soft: #52514e; --line: #d9d8d4;
  --c0: #2a78d6; --c1: #1baf7a; --c2: #eda100; --c3: #008300; --c4: #4a3aa7; --c5: #e34948; --c6: #e87ba4;
  --c7: #8d8c86; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #1a1a19; --ink: #ffffff; --soft: #c3c2b7; --line: #3b3a37;
    --c0: #3987e5; --c1: #199e70; --c2: #c98500; --c3: #2f9e2f; --c4: #9085e9; --c5: #e66767; --c6: #d55181;
    --c7: #8d8c86; } }
body { background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 54rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; line-height: 1.25; } h2 { font-size: 1.1rem; margin-top: 2.5rem; }
p, li { color: var(--soft); }
svg.bars { width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--ink); font-size: 14px; dominant-baseline: central; }
svg .label { text-anchor: end; } svg .value { fill: var(--soft); } svg .axis { stroke: var(--line); }
ul.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; font-size: .9rem; }
ul.legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .4rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: right; padding: .25rem .8rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; }
""" + "".join(f".s{n} {{ fill: var(--c{n}); background: var(--c{n}); }}\n" for n in range(8))


def page(title: str, *body: str) -> str:
    """A whole document. `title` is text; what is in `body` is HTML already."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )


def section(title: str, *body: str) -> str:
    return f"<h2>{escape(title)}</h2>\n" + "\n".join(body)


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def points(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column is of names, the others of numbers."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'<div class="scroll"><table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'
    )
