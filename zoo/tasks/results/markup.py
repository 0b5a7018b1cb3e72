"""Texts with their entities marked, as an HTML page."""

import html
from pathlib import Path

# Pale enough for black text, and told apart by most who are colour-blind.
COLOURS = (
    "#fde2b3 #b8dff0 #f6c6d9 #c9e7c0 #dccdf0 #f7efa1 #c3e8e0 #f3c9b5 #cfd8e6 #e5d9c3"
).split()
STYLE = """
body { font: 16px/1.7 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em }
p { margin: .4em 0; white-space: pre-wrap }
p.wanted { color: #666; font-size: 85%; margin-bottom: 1.2em }
mark { padding: .1em .25em; border-radius: .25em; color: black }
mark small { font-size: 65%; font-weight: bold; margin-left: .4em }
"""


def marked(text, entities, colours):
    """A text as HTML, its entities in `<mark>`.

    Args:
        text: str.
        entities: `{"start", "end", "entity"}` in code points; "score", where there is
            one, is shown when the mouse rests on it. Of those that overlap, the first.
        colours: Type -> colour.
    """
    parts, end = [], 0
    for each in sorted(entities, key=lambda each: each["start"]):
        if each["start"] < end:
            continue
        parts.append(html.escape(text[end : each["start"]]))
        end = each["end"]
        said = f' title="{each["score"]:.2f}"' if "score" in each else ""
        colour = colours.get(each["entity"], COLOURS[-1])
        parts.append(
            f'<mark style="background:{colour}"{said}>'
            f"{html.escape(text[each['start'] : end])}"
            f"<small>{html.escape(each['entity'])}</small></mark>"
        )
    return "".join((*parts, html.escape(text[end:])))


def write_markup(path, rows, *, title):
    """Writes the page.

    Args:
        path: An .html file.
        rows: Pairs of a text and its entities, as of `marked`; or triples, with those
            that it should have, which stand below it in grey where they differ.
        title: Of the page.
    """
    rows = list(rows)
    kinds = sorted(
        {each["entity"] for row in rows for part in row[1:] for each in part}
    )
    colours = {kind: COLOURS[i % len(COLOURS)] for i, kind in enumerate(kinds)}
    parts = []
    for text, *answers in rows:
        parts.append(f"<p>{marked(text, answers[0], colours)}</p>")
        places = [
            sorted((each["start"], each["end"], each["entity"]) for each in answer)
            for answer in answers
        ]
        if len(places) > 1 and places[0] != places[1]:
            wanted = [{k: e[k] for k in ("start", "end", "entity")} for e in answers[1]]
            parts.append(f'<p class="wanted">{marked(text, wanted, colours)}</p>')
    body = "\n".join(parts)
    title = html.escape(title)
    Path(path).write_text(
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}'
        f"</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n{body}\n</html>\n",
        encoding="utf-8",
    )
