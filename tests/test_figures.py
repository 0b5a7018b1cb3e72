"""Pictures are whole files, and Chinese characters get a font that has them."""

import logging

import pytest

from zoo import figures


def picture(text):
    figure = figures.new_figure(2, 1)
    label = figure.text(0.1, 0.5, text)
    return figure, label


def test_a_picture_is_written_whole_and_nothing_beside_it(tmp_path):
    figure, _ = picture("loss")
    figures.save_figure(figure, tmp_path / "loss.png")
    assert [path.name for path in tmp_path.iterdir()] == ["loss.png"]
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("text", ["不好", "很。", "かな", "한국", "！"])
def test_chinese_characters_get_the_first_font_that_is_there(
    tmp_path, monkeypatch, text
):
    # Matplotlib brings this one; what matters here is the choice.
    monkeypatch.setattr(figures, "CHINESE_FONTS", ("Nowhere Sans", "STIXGeneral"))
    figure, label = picture(text)
    before = list(label.get_fontfamily())
    monkeypatch.setattr(figure, "savefig", lambda path, **_: path.touch())
    figures.save_figure(figure, tmp_path / "a.png")
    assert label.get_fontfamily() == [*before, "STIXGeneral"]


def test_without_such_a_font_a_warning_says_what_to_install(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(figures, "CHINESE_FONTS", ())
    figure, label = picture("好 good")
    before = list(label.get_fontfamily())
    monkeypatch.setattr(figure, "savefig", lambda path, **_: path.touch())
    with caplog.at_level(logging.WARNING):
        figures.save_figure(figure, tmp_path / "a.png")
    assert "fonts-noto-cjk" in caplog.text and label.get_fontfamily() == before


def test_other_texts_are_left_as_they_are(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(figures, "CHINESE_FONTS", ())
    figure, label = picture("naïve – Ω é")
    before = list(label.get_fontfamily())
    figures.save_figure(figure, tmp_path / "a.png")
    assert label.get_fontfamily() == before and "font for" not in caplog.text
