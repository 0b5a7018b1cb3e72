"""Cleaning: what each rule repairs and leaves out, in any script, and what is told."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from zoo import cli
from zoo.data.cleaning import RULES, Cleaner, Cleaning, clean_files
from zoo.data.duplicates import NearDuplicates
from zoo.data.words import lacks_spaces, words_of
from zoo.errors import DataError, InputError

ENGLISH = (
    "The ship left the harbour at dawn, and by noon nobody on the quay could see more "
    "than a grey line where the sails had been; the children went home for their lunch."
)
CHINESE = (
    "清晨，船离开了港口；到了中午，码头上的人只能看见一条灰色的线，那里原来是船帆。"
    "孩子们回家吃饭去了，老人们还坐在石头上，说起从前出海的日子。"
)


def applied(rule, text, **options):
    return Cleaner(Cleaning(rules=[rule], **options))(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a <b>bold</b> word<br/>next", "a bold word\nnext"),
        ("<p>one</p><p class='x'>two</p>", "\none\n\ntwo\n"),
        ("<td>a</td><td>b</td>", " a  b "),
        ("x<!-- hidden <b> -->y<!-- open", "xy<!-- open"),
        ("a<script>if (a < b) {}</SCRIPT >b<style>p {}", "a\nbp {}"),
        ("&lt;b&gt; &amp; &eacute; &#20013;&#x6587; AT&T ?a=1&copy=2", None),
        ("if a < b and c > d: List<String> <3 <电影>", None),
        ("<!DOCTYPE html><?xml version='1'?>text", "text"),
        ("<b" * 3, "<b<b<b"),
    ],
)
def test_markup_goes_and_what_only_looks_like_it_stays(text, expected):
    if expected is None:
        expected = text.replace(
            "&lt;b&gt; &amp; &eacute; &#20013;&#x6587;", "<b> & é 中文"
        )
    assert applied("markup", text) == expected


def test_characters_take_one_form():
    assert applied("unicode", "e\u0301 \ufb01 Ａ") == "é \ufb01 Ａ"
    assert applied("unicode", "e\u0301 \ufb01 Ａ", normalization="NFKC") == "é fi A"
    text = "a\x00\u200b\ufeffb\r\nc\u2028d\te\ue000\ufffe\x85f"
    assert applied("control", text) == "ab\nc\nd\te\nf"
    family = "👩\u200d👩\u200d👧 می\u200cخواهم"  # joiners are part of these
    assert applied("control", family) == family
    assert applied("whitespace", "\u3000a\xa0b  \n\n\n\nc \n") == "a b\n\nc"


@pytest.mark.parametrize(
    "line",
    [
        "Home | About | Contact | Help",
        "首页 > 新闻 > 国际 > 正文",
        "© 2024 Acme Corp. All rights reserved.",
        "版权所有 京ICP备12345号",
        "https://example.com/a?b=c",
        "----------",
        "Please enable JavaScript to view this page.",
        "本站使用 cookie，详见隐私政策",
    ],
)
def test_boilerplate_lines_go_and_a_record_of_nothing_else_too(line):
    assert applied("boilerplate", f"{ENGLISH}\n{line}\n{CHINESE}") == (
        f"{ENGLISH}\n{CHINESE}"
    )
    assert applied("boilerplate", line) is None
    mentioned = f"{ENGLISH} {ENGLISH} {line}"
    assert applied("boilerplate", mentioned) == mentioned


def test_words_are_counted_in_every_script():
    assert words_of("don't stop, 3.14") == ["don", "t", "stop", "3", "14"]
    assert words_of("电影abc好。ไทย") == ["电", "影", "abc", "好", "ไ", "ท", "ย"]
    assert lacks_spaces(CHINESE) and not lacks_spaces(ENGLISH)
    assert applied("length", "两字") is None and applied("length", "三个字")
    assert applied("length", "two words") is None
    assert applied("length", "a b c d", max_words=3) is None


def test_signs_are_no_text_but_marks_and_some_emoji_are():
    for text in ("~~~ $$$ %%% a b", "😀😀😀 ok"):
        assert applied("symbols", text) is None
    for text in ("नमस्ते दुनिया", "great film 😀!", CHINESE, "e\u0301" * 9):
        assert applied("symbols", text) == text


def test_repetition_is_found_with_and_without_spaces():
    for text in (
        "buy now cheap " * 10,
        "好" * 40,
        CHINESE + "快来买吧便宜又好用的东西" * 4,
        "\n".join(["same line"] * 3 + ["another line", "and one more"]),
        ENGLISH + " " + ENGLISH,
    ):
        assert applied("repetition", text) is None, text
    twice = f"at the end of {ENGLISH} and then the end of it"
    for text in (ENGLISH, CHINESE, "ha ha ha", twice):
        assert applied("repetition", text) == text


def test_the_same_record_is_kept_once():
    cleaner = Cleaner(Cleaning(rules=["exact"]))
    texts = ["a b", "a  b\n", "A b", "a b"]
    assert [cleaner(text) for text in texts] == ["a b", None, "A b", None]


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_nearly_the_same_record_is_kept_once(text):
    cleaner = Cleaner(Cleaning(rules=["near"]))
    assert cleaner(text) == text
    assert cleaner(text[::-1]) == text[::-1]
    assert cleaner(text.upper()[:-1] + "!") is None
    [example] = cleaner.report.rules["near"].examples
    assert "like record 1 that was kept" in example["why"]
    half = text[: len(text) // 2] + text[::-1][: len(text) // 2]
    assert cleaner(half) == half


def test_similarity_is_near_the_true_one():
    known = NearDuplicates(0.5)
    words = [f"word{i} " for i in range(400)]
    assert known.add("".join(words)) is None
    number, similarity = known.add("".join(words[:320]))  # four fifths of it
    assert number == 0 and abs(similarity - 0.8) < 0.1
    assert known.add("".join(words[:100])) is None
    for short in ("", "a", "ab"):
        assert known.add(short) is None


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_what_is_clean_stays_as_it_is(text):
    repairs = [name for name in Cleaning().rules if name in list(RULES)[:5]]
    repairs.remove("markup")  # `&amp;lt;` is text about mark-up
    once = Cleaner(Cleaning(rules=repairs))(text)
    if once is not None:
        assert Cleaner(Cleaning(rules=repairs))(once) == once


def test_hostile_markup_takes_no_time():
    for text in ("<!--" * 50_000, "<script>" * 20_000, "<a " * 50_000, "&#" * 50_000):
        assert applied("markup", text) is not None


def test_the_report_counts_and_shows():
    cleaner = Cleaner()
    for text in (ENGLISH, f"<b>{CHINESE}</b>", "hm", ENGLISH):
        cleaner(text)
    report = cleaner.report
    assert (report.records, report.kept) == (4, 2)
    removed = {name: rule.removed for name, rule in report.rules.items()}
    assert removed["length"] == removed["exact"] == 1 and sum(removed.values()) == 2
    assert report.rules["markup"].changed == 1
    assert report.rules["length"].examples == [
        {"before": "hm", "after": None, "why": "words: 1, fewer than 3"}
    ]
    text = "\n".join(report.lines())
    assert "2 of 4 records kept (50.0%)" in text
    assert "-> left out: has come before" in text
    assert json.loads(json.dumps(report.to_dict()))["rules"]["markup"]["changed"] == 1


def test_options_that_do_not_fit_are_refused():
    for options, error in (
        ({"rules": ["magic"]}, "not known. Known: markup"),
        ({"normalization": "NFD"}, "NFC, NFKC"),
        ({"max_symbols": 0}, "max_symbols=0"),
        ({"min_words": 5, "max_words": 4}, "min_words=5"),
    ):
        with pytest.raises(InputError, match=error):
            Cleaning(**options)


# -- Files


def command(*arguments):
    return CliRunner().invoke(cli.app, ["data", "clean", *map(str, arguments)])


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text(f"{ENGLISH}\n<br>{CHINESE}<br>end\nhm\n")
    rows = [{"text": ENGLISH, "id": 1}, {"text": ENGLISH[::-1], "id": 2}, {"id": 3}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "in" / "b.jsonl").write_text(f"{lines}torn\n")
    (tmp_path / "in" / "a.csv").write_text(f'text,n\n"{CHINESE[::-1]}",5\n')
    return tmp_path


def test_files_are_cleaned_and_the_report_is_printed(corpus):
    result = command(corpus / "in" / "*", "--output", corpus / "out")
    assert result.exit_code == 0, result.output
    assert "4 of 6 records kept" in result.stdout and "<br>" in result.stdout
    assert "2 malformed records" in result.stdout
    names = sorted(path.name for path in (corpus / "out").iterdir())
    assert names == ["a.jsonl", "a.txt", "b.jsonl"]
    assert (corpus / "out" / "a.txt").read_text() == f"{ENGLISH}\n{CHINESE} end\n"
    kept = [json.loads(line) for line in (corpus / "out" / "b.jsonl").open()]
    assert kept == [{"text": ENGLISH[::-1], "id": 2}]
    assert json.loads((corpus / "out" / "a.jsonl").read_text())["n"] == "5"


def test_the_report_comes_as_json_and_rules_can_be_left_out(corpus):
    arguments = ["--skip", "near", "--skip", "exact", "--min-words", "1", "--json"]
    result = command(corpus / "in" / "*", "--output", corpus / "out", *arguments)
    report = json.loads(result.stdout)
    assert report["kept"] == report["records"] == 6 and "near" not in report["rules"]


def test_the_same_input_gives_the_same_output(corpus):
    for name in ("one", "two"):
        clean_files(corpus / "in" / "*", corpus / name)
    for path in (corpus / "one").iterdir():
        assert path.read_bytes() == (corpus / "two" / path.name).read_bytes()


def test_an_interrupt_or_an_error_leaves_nothing_behind(corpus, monkeypatch):
    def interrupt(report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clean_files(corpus / "in" / "a.txt", corpus / "out", progress=interrupt)
    for arguments, error in (
        (["--text", "body"], "no record has text in a column 'body'; there are 'text'"),
        (["--skip", "magic"], "the rules are markup"),
        (["--normalization", "NFD"], "NFC, NFKC"),
        (["--encoding", "ascii"], "is not ASCII"),
    ):
        result = command(
            corpus / "in" / "a.txt", "--output", corpus / "out", *arguments
        )
        assert result.exit_code == 2 and error in result.stderr, result.output
    assert sorted(path.name for path in corpus.iterdir()) == ["in"]
    with pytest.raises(DataError, match="no file matches"):
        clean_files(corpus / "*.md", corpus / "out")
