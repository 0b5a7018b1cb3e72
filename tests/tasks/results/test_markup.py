"""Marked texts: what was text stays text, and entities are where they are."""

import html
import re

from zoo.tasks.results.markup import marked, write_markup

TEXT = "Ann & <Bob>\r\nin Paris 😀"
ENTITIES = [
    {"entity": "PER", "start": 0, "end": 3, "score": 0.987},
    {"entity": "<x>", "start": 6, "end": 11},
    {"entity": "PER", "start": 8, "end": 12},
    {"entity": "LOC", "start": 16, "end": 21},
]


def test_marks_stand_around_entities_and_the_text_is_whole():
    page = marked(TEXT, ENTITIES, {"PER": "#fff"})
    assert '<mark style="background:#fff" title="0.99">Ann<small>PER</small>' in page
    assert "&lt;Bob&gt;<small>&lt;x&gt;</small></mark>" in page
    plain = re.sub("<small>.*?</small>|<[^>]*>", "", page)
    assert html.unescape(plain) == TEXT


def test_the_page_shows_what_was_wanted_where_that_is_other(tmp_path):
    path = tmp_path / "a.html"
    rows = [(TEXT, ENTITIES[:1], ENTITIES[:1]), (TEXT, [], ENTITIES[3:]), (TEXT, [])]
    write_markup(path, rows, title="<Tweets>")
    page = path.read_text(encoding="utf-8")
    assert page.count("<p>") == 3 and page.count('<p class="wanted">') == 1
    assert "<h1>&lt;Tweets&gt;</h1>" in page
