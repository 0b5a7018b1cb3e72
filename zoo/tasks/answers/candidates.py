"""Candidates: the best spans for one question, and whether one is an answer."""

import math
from typing import NamedTuple

import numpy as np

from zoo.data.squad_scores import best_f1
from zoo.errors import DataError


class Span(NamedTuple):
    """Of a context: sum of logits, first code point, the one behind the last, text."""

    score: float
    start: int
    end: int
    text: str


class Candidates(NamedTuple):
    """What may answer a question.

    Attributes:
        spans: Span, best first.
        null: Score of having no answer.
        total: Log of the sum of exp of the scores of all spans.
    """

    spans: list[Span]
    null: float
    total: float

    @property
    def difference(self):
        """How much better having no answer is than the best one."""
        return self.null - self.spans[0].score if self.spans else math.inf

    def ranked(self, threshold):
        """Answers, best first; no answer is one where it may be.

        Args:
            threshold: Of `difference`: above it, having no answer is the best. None:
                there is always an answer.

        Returns:
            List of `{"answer": str, "start": int, "end": int, "score": float}`.
        """
        rows, total = list(self.spans), self.total
        if threshold is not None:
            total = float(np.logaddexp(total, self.null))
            none = Span(self.null, 0, 0, "")
            if self.difference > threshold:
                rows.insert(0, none)
            else:
                behind = [row for row in rows[1:] if row.score >= self.null]
                rows.insert(1 + len(behind), none)
        return [
            {
                "answer": row.text,
                "start": row.start,
                "end": row.end,
                "score": math.exp(min(row.score - total, 0.0)),
            }
            for row in rows
        ] or [{"answer": "", "start": 0, "end": 0, "score": 0.0}]


def of_windows(found, outputs, windows, context, *, n_best):
    """The candidates of one question.

    Args:
        found: examples.question_windows.WindowSet of several questions, with offsets.
        outputs: What `spans.best_spans` gives for all windows, in numpy.
        windows: Slice of them: those of this question.
        context: Its context.
        n_best: Spans of a window.
    """
    scores = outputs["score"][windows].ravel().astype(np.float64)
    order = np.argsort(-scores, kind="stable")[:n_best]
    order = order[np.isfinite(scores[order])]
    window = order // n_best + windows.start
    start, end = (
        found.offsets[
            found.splits[window] + outputs[name][windows].ravel()[order], side
        ].tolist()
        for side, name in enumerate(("start", "end"))
    )
    rows = [
        Span(float(scores[place]), *bare_span(context, a, z))
        for place, a, z in zip(order, start, end, strict=True)
    ]
    null = float(outputs["null"][windows].min())
    total = np.logaddexp.reduce(outputs["total"][windows].astype(np.float64))
    return Candidates(rows, null, float(total))


def bare_span(context, start, end):
    """A span and its text, without white space at its ends where there is more in it.

    The tokens of decoders begin with the space before them.
    """
    text = context[start:end]
    if bare := text.strip():
        start += len(text) - len(text.lstrip())
        return start, start + len(bare), bare
    return start, end, text


def best_threshold(candidates, answers):
    """The threshold with which F1 is greatest.

    Args:
        candidates: List `[N]` of Candidates.
        answers: For each question its texts; none where it has no answer.

    Returns:
        `(threshold, f1)`.

    Raises:
        DataError: if no context has a token.
    """
    differences = np.array([each.difference for each in candidates])
    gains, empty = [], 0.0
    for each, texts in zip(candidates, answers, strict=True):
        none = best_f1("", texts)
        empty += none
        gains.append(best_f1(each.spans[0].text if each.spans else "", texts) - none)
    order = np.argsort(differences, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(np.array(gains)[order])])
    ranked = differences[order]
    finite = ranked[np.isfinite(ranked)]
    if not len(finite):
        raise DataError("no context of these examples has a token.")
    edges = [finite[0] - 1, *(finite[:-1] / 2 + finite[1:] / 2), finite[-1] + 1]
    # Between equal differences there is no threshold.
    allowed = [0, *(np.flatnonzero(np.diff(finite) > 0) + 1), len(finite)]
    best = max(allowed, key=lambda count: sums[count])
    return float(edges[best]), float((empty + sums[best]) / len(candidates))
