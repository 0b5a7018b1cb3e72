"""Scores of written texts equal those of the libraries."""

import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from zoo.tasks.results.text_scores import summary_scores, translation_scores

GIVEN = ["the cat sat on a mat", "dogs bark", "it is, after all, a test"]
EXPECTED = ["the cat sat on the mat", "a dog barks", "it is a test, after all"]


def test_translations_are_scored_as_sacrebleu_does():
    found = translation_scores(GIVEN, EXPECTED)
    assert found["bleu"] == sacrebleu.corpus_bleu(GIVEN, [EXPECTED]).score
    assert found["chrf"] == sacrebleu.corpus_chrf(GIVEN, [EXPECTED]).score
    assert "tok:13a" in found["signature"]


def test_words_of_chinese_translations_are_characters():
    given, expected = ["打开设备的电源开关"], ["打开设备电源的开关"]
    found = translation_scores(given, expected)
    theirs = sacrebleu.corpus_bleu(given, [expected], tokenize="zh")
    assert found["bleu"] == theirs.score
    assert "tok:zh" in found["signature"]


def test_summaries_are_scored_as_rouge_score_does():
    found = summary_scores(GIVEN, EXPECTED)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    rows = [scorer.score(e, g) for e, g in zip(EXPECTED, GIVEN, strict=True)]
    for name, value in found.items():
        assert value == pytest.approx(sum(row[name].fmeasure for row in rows) / 3)


def test_summaries_in_chinese_share_characters():
    found = summary_scores(["打开 OpenSSL 库"], ["打开库"])
    assert found["rouge1"] == pytest.approx(2 * 3 / (4 + 3))
