"""Every Python block of the README and of docs/ runs and prints what is said.

The Chinese pages have the same blocks, character for character: one test compares them,
and they run once.

A block of text directly below one of Python is what that prints; where lines are broken
does not matter. The blocks of one file run in order, in one namespace, in an empty
working directory. A block that an HTML comment `<!-- marker: download -->` stands above
(with only blank lines between) runs under `-m download` alone, after the blocks before
it.
"""

import contextlib
import io
import linecache
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

pytestmark = pytest.mark.usefixtures("forked_processes")

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "README.zh.md", *sorted(ROOT.glob("docs/**/*.md"))]

ENGLISH = [
    page
    for page in PAGES
    if not {"zh", "README.zh.md"} & {*page.relative_to(ROOT).parts}
]
# Tables of the benchmark program, which has no Chinese: docs/zh/README.md links to it.
TRANSLATED = [page for page in ENGLISH if page.name != "benchmarks.md"]

MARKER = re.compile(r"<!-- marker: (?P<name>\w+) -->")


@dataclass(frozen=True)
class Block:
    """One block of code: its text, its first line, its marker, and what it prints."""

    text: str
    line: int
    marker: str = ""
    printed: str = ""


def python_blocks(text):
    """The blocks of a Markdown text that are fenced as `python`."""
    blocks, marker = [], ""
    tokens = MarkdownIt().parse(text)
    for token, below in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "fence" and token.info.split()[:1] == ["python"]:
            is_output = below is not None and below.info.split()[:1] == ["text"]
            printed = below.content if is_output else ""
            blocks.append(Block(token.content, token.map[0] + 2, marker, printed))
        # Tokens that only open or close a list or the like have no content.
        if token.type in ("fence", "html_block") or token.content:
            found = MARKER.fullmatch(token.content.strip())
            marker = found["name"] if found else ""
    return blocks


def run_blocks(blocks, page, markers):
    """Runs blocks in one namespace; those with a marker only if it is in `markers`."""
    namespace = {"__name__": "__main__"}
    for block in blocks:
        if block.marker and block.marker not in markers:
            continue
        name = f"{page}:{block.line}"
        # So that tracebacks show the line of the block.
        linecache.cache[name] = (
            len(block.text),
            None,
            block.text.splitlines(True),
            name,
        )
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(block.text, name, "exec"), namespace)
        if block.printed:
            assert printed.getvalue().split() == block.printed.split(), name


def pages():
    for page in ENGLISH:
        blocks = python_blocks(page.read_text(encoding="utf-8"))
        name = str(page.relative_to(ROOT))
        if any(not block.marker for block in blocks):
            yield pytest.param(page, set(), id=name)
        for marker in sorted({block.marker for block in blocks} - {""}):
            mark = getattr(pytest.mark, marker)
            yield pytest.param(page, {marker}, marks=mark, id=f"{name}-{marker}")


@pytest.mark.parametrize(("page", "markers"), list(pages()))
def test_every_block_of_the_page_runs(page, markers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = python_blocks(page.read_text(encoding="utf-8"))
    run_blocks(blocks, page.relative_to(ROOT), markers)


def test_a_failing_block_fails_and_names_its_line():
    blocks = python_blocks(
        "# Page\n\n```python\nx = 1\n```\n\n```python\nassert x == 2\n```"
    )
    with pytest.raises(AssertionError) as caught:
        run_blocks(blocks, "page.md", set())
    assert str(caught.traceback[-1].path) == "page.md:8"


def test_a_block_that_prints_something_else_fails_and_is_named():
    page = "```python\nprint(1,\n      2)\n```\n\n```text\n1\n{}\n```"
    run_blocks(python_blocks(page.format(2)), "page.md", set())
    with pytest.raises(AssertionError, match=r"page\.md:2"):
        run_blocks(python_blocks(page.format(3)), "page.md", set())


def in_chinese(page):
    if page.parent == ROOT:
        return page.with_suffix(".zh.md")
    return ROOT / "docs" / "zh" / page.relative_to(ROOT / "docs")


@pytest.mark.parametrize("page", TRANSLATED, ids=lambda page: page.name)
def test_both_languages_have_the_same_code_and_the_same_sections(page):
    ours, theirs = (
        MarkdownIt().enable("table").parse(each.read_text(encoding="utf-8"))
        for each in (page, in_chinese(page))
    )
    for kind in ("fence", "heading_open", "tr_open", "list_item_open"):
        found = [
            [t.tag + t.info + t.content for t in tokens if t.type == kind]
            for tokens in (ours, theirs)
        ]
        assert found[0] == found[1], kind


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page):
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    inline = [child for token in tokens for child in token.children or []]
    links = [child.attrs["href"] for child in inline if child.type == "link_open"]
    files = [link.split("#")[0] for link in links if "://" not in link]
    missing = [link for link in files if link and not (page.parent / link).exists()]
    assert not missing


def test_only_python_blocks_count_and_markers_hold_for_one_block():
    text = """
<!-- marker: download -->

```python
a = fetch()
```

```python
b = 1
```
<!-- marker: download -->

Words between.
```python
c = 2
```
```sh
make demo
```
````markdown
```python
inside another block
```
````
1. In a list:
   ```python
   d = 3
   ```
"""
    assert python_blocks(text) == [
        Block("a = fetch()\n", 5, "download"),
        Block("b = 1\n", 9),
        Block("c = 2\n", 15),
        Block("d = 3\n", 27),
    ]


def test_a_marked_block_runs_only_when_asked_for():
    blocks = [Block("seen = []\n", 1, ""), Block("1 / 0\n", 3, "download")]
    run_blocks(blocks, "page.md", set())
    with pytest.raises(ZeroDivisionError):
        run_blocks(blocks, "page.md", {"download"})


def test_the_pages_that_exist_are_found():
    assert ROOT / "README.md" in PAGES
    assert all(page in PAGES for page in (ROOT / "docs").rglob("*.md"))
