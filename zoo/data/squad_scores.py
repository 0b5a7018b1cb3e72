"""Exact match and F1 of answers, as SQuAD scores them (Rajpurkar et al. 2016, 2018).

The official scripts do it where they are installed (tf-models-official, the extra
`garden`); elsewhere the functions below, which give the same.
"""

import re
import string
from collections import Counter

from zoo.errors import DataError

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def squad_scores(predictions, answers):
    """Exact match and F1, means over all questions, from 0 to 1.

    Args:
        predictions: Answer to each question, "" for none.
        answers: For each question the list of right answers; an empty list where there
            is none. If there are such questions, all are scored as SQuAD 2.0 does it:
            right is then an empty answer, or one of articles and punctuation alone.

    Returns:
        dict: "exact_match", "f1", "total"; and where some questions have no answer,
        the same of those that have one ("answerable_exact_match", ...) and of the
        others ("unanswerable_exact_match", ...).

    Raises:
        DataError: if there are no questions, or not as many of both.
    """
    predictions, answers = list(predictions), [list(each) for each in answers]
    if not predictions or len(predictions) != len(answers):
        raise DataError(
            f"there are {len(predictions)} predictions for {len(answers)} questions; "
            "expected as many, and one at least."
        )
    every = all(answers)
    score = _official(every) or (_score_1_1 if every else _score_2_0)
    return score(predictions, answers)


def exact_match(prediction, answer):
    """Whether two answers are the same but for case, articles and punctuation."""
    return normalize(prediction) == normalize(answer)


def f1(prediction, answer, *, empty=False):
    """Harmonic mean of the shares of words that two answers have in common.

    Args:
        empty: Whether two answers without words are alike, as in SQuAD 2.0.
    """
    ours, theirs = normalize(prediction).split(), normalize(answer).split()
    if empty and not (ours and theirs):
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    if not common:
        return 0.0
    precision, recall = common / len(ours), common / len(theirs)
    return 2 * precision * recall / (precision + recall)


def best_f1(prediction, answers):
    """F1 against the nearest answer, as in SQuAD 2.0; without any, against ""."""
    return max(f1(prediction, answer, empty=True) for answer in _right(answers))


def normalize(text):
    """Lower case, without punctuation, articles and superfluous white space."""
    text = text.lower().translate(PUNCTUATION)
    return " ".join(ARTICLES.sub(" ", text).split())


def _right(answers):
    """The answers that have words; "" alone where there are none."""
    return [answer for answer in answers if normalize(answer)] or [""]


def _score_1_1(predictions, answers):
    rows = list(zip(predictions, answers, strict=True))
    exact = [max(exact_match(one, each) for each in right) for one, right in rows]
    close = [max(f1(one, each) for each in right) for one, right in rows]
    return _means(exact, close)


def _score_2_0(predictions, answers):
    rows = list(zip(predictions, answers, strict=True))
    exact = [max(exact_match(one, x) for x in _right(right)) for one, right in rows]
    close = [best_f1(one, right) for one, right in rows]
    found = _means(exact, close)
    for name, wanted in (("answerable", True), ("unanswerable", False)):
        part = [i for i, right in enumerate(answers) if bool(right) is wanted]
        if part:
            means = _means([exact[i] for i in part], [close[i] for i in part])
            found |= {f"{name}_{key}": value for key, value in means.items()}
    return found


def _means(exact, close):
    count = len(exact)
    return {
        "exact_match": sum(exact) / count,
        "f1": sum(close) / count,
        "total": count,
    }


def _official(every):
    """The official script of the version wanted, called as ours; None without it."""
    try:
        if every:
            from official.nlp.tools import squad_evaluate_v1_1 as script
        else:
            from official.nlp.tools import squad_evaluate_v2_0 as script
    except ImportError:
        return None

    def score(predictions, answers):
        questions = [
            {"id": str(i), "answers": [{"text": text} for text in right]}
            for i, right in enumerate(answers)
        ]
        data = [{"paragraphs": [{"qas": questions}]}]
        given = {str(i): answer for i, answer in enumerate(predictions)}
        found = script.evaluate(data, given)
        if every:
            return {
                "exact_match": found["exact_match"],
                "f1": found["final_f1"],
                "total": len(answers),
            }
        scores = {
            "exact_match": found["exact"] / 100,
            "f1": found["f1"] / 100,
            "total": found["total"],
        }
        for name, key in (("answerable", "HasAns"), ("unanswerable", "NoAns")):
            if f"{key}_total" in found:
                scores |= {
                    f"{name}_exact_match": found[f"{key}_exact"] / 100,
                    f"{name}_f1": found[f"{key}_f1"] / 100,
                    f"{name}_total": found[f"{key}_total"],
                }
        return scores

    return score
