"""Spans: answers as tokens of windows, to learn from and to choose among.

Windows overlap, so a span may stand in several. Each span counts in one window alone:
where the scantier of its two sides is longest. (BERT's run_squad says this of single
tokens, and loses answers longer than half of what windows share.) With i and j the
first and the last token of a span, that window is the one for which i + j lies between
the sums of its neighbours' edges.
"""

import dataclasses
import logging
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.errors import DataError
from zoo.tasks import examples as forms

logger = logging.getLogger("zoo")
FAR = 1 << 24  # beyond every sum of two places
BLANKS = r"[\t-\r\x1c-\x1f\x{85}\pZ]+"  # what Python calls white space
OUTSIDE = 0  # the place of [CLS], where the answer of a window that has none is


@dataclass(frozen=True)
class WindowSet(forms.Memory):
    """Windows that are all there: `forms.Memory` whose `inputs` are ragged ids.

    Attributes:
        table: int32 `[W, 4]` as of `own_spans`.
        example: int32 `[W]`: of which question a window is.
        offsets: int32 `[tokens, 2]`: code points of the tokens of all windows, or None.
        splits: int64 `[W + 1]`: where each window begins among these tokens.
    """

    table: Any = None
    example: Any = None
    offsets: Any = None
    splits: Any = None

    def _part(self, where):
        part = super()._part(where)
        return dataclasses.replace(
            part, table=self.table[where], example=self.example[where]
        )


def own_spans(windows):
    """Which spans count in each window, as graph ops.

    Args:
        windows: zoo.tokenizers.windows.Windows.

    Returns:
        int32 `[W, 4]`: the place of the first token of the context, how many there are,
        and the sums of first and last place that a span has to lie above, and not
        above.
    """
    begin, end = windows.begin, windows.begin + windows.length - 1
    same = tf.equal(windows.pair[1:], windows.pair[:-1])
    between = end[:-1] + begin[1:]
    low = tf.concat([[-FAR], tf.where(same, between, -FAR)], 0)[: tf.size(begin)]
    high = tf.concat([tf.where(same, between, FAR), [FAR]], 0)[: tf.size(begin)]
    shift = 2 * (windows.place - windows.begin)
    return tf.stack([windows.place, windows.length, low + shift, high + shift], 1)


def best_spans(logits, table, *, longest, count):
    """The best spans of each window, as graph ops.

    Args:
        logits: Of first and last tokens, float32 `[W, 2, T]`.
        table: int32 `[W, 4]` as of `own_spans`.
        longest: Most tokens of a span.
        count: How many spans to give.

    Returns:
        dict: `score` float32 `[W, count]`, the sum of both logits, best first, -inf
        where there are fewer spans; `start` and `end`, int32 `[W, count]`, the first
        and the last place; `total` `[W]`, log of the sum of exp of the scores of all
        spans; `null` `[W]`, score of the first token, which stands for no answer.
    """
    place, length, low, high = (column[:, None] for column in tf.unstack(table, axis=1))
    width = tf.shape(logits)[2]
    first = tf.range(width)
    context = (first >= place) & (first < place + length)
    starts, ends = (tf.where(context, x, -np.inf) for x in tf.unstack(logits, axis=1))
    ends = tf.pad(ends, [[0, 0], [0, longest - 1]], constant_values=-np.inf)
    more = tf.range(longest)
    scores = starts[:, :, None] + tf.gather(ends, first[:, None] + more, axis=1)
    sums = 2 * first[:, None] + more
    own = (sums > low[..., None]) & (sums <= high[..., None])
    scores = tf.where(own, scores, -np.inf)
    scores = tf.reshape(scores, [tf.shape(logits)[0], width * longest])
    total = tf.reduce_logsumexp(scores, 1)
    scores = tf.pad(scores, [[0, 0], [0, count]], constant_values=-np.inf)
    best, index = tf.math.top_k(scores, count)
    start = index // longest
    null = logits[:, 0, 0] + logits[:, 1, 0]
    return {
        "score": best,
        "start": start,
        "end": start + index % longest,
        "total": total,
        "null": null,
    }


def best_of_windows(best, windows, contexts, *, threshold):
    """The answer to each question out of the best spans of its windows, as graph ops.

    Args:
        best: As of `best_spans` with a count of 1.
        windows: zoo.tokenizers.windows.Windows, with offsets.
        contexts: Strings `[B]`.
        threshold: As of `QuestionAnswerer.null_threshold`.

    Returns:
        dict: `answer`, string; `start` and `end`, int32, code points; `score`,
        float32, its probability; all `[B]`. Without an answer "", 0 and 0.
    """
    size, pair = tf.size(contexts), windows.pair
    # A segment's maximum begins with the least number, which is above -inf.
    score = tf.maximum(best["score"][:, 0], tf.float32.min)
    top = tf.math.unsorted_segment_max(score, pair, size)
    # The first window of those that have the best span; there is one at least.
    places = tf.range(tf.size(pair))
    winner = tf.where(score >= tf.gather(top, pair), places, tf.size(pair))
    winner = tf.math.unsorted_segment_min(winner, pair, size)
    null = tf.math.unsorted_segment_min(best["null"], pair, size)
    # Of sums of exp, in units of the greatest.
    nothing = top <= tf.float32.min
    greatest = tf.where(nothing, 0.0, top)
    if threshold is not None:
        greatest = tf.maximum(greatest, null)
    shares = tf.exp(best["total"] - tf.gather(greatest, pair))
    total = tf.math.unsorted_segment_sum(shares, pair, size)
    chosen = tf.exp(top - greatest)
    if threshold is not None:
        share = tf.exp(null - greatest)
        total += share
        nothing |= null - top > threshold
        chosen = tf.where(nothing, share, chosen)
    offsets = windows.inputs["offsets"]
    first = tf.gather(tf.cast(offsets.row_starts(), tf.int32), winner)
    offsets = offsets.values
    start = tf.gather(offsets[:, 0], first + tf.gather(best["start"][:, 0], winner))
    end = tf.gather(offsets[:, 1], first + tf.gather(best["end"][:, 0], winner))
    start, end = tf.where(nothing, 0, start), tf.where(nothing, 0, end)
    start, end = bare_spans(contexts, start, end)
    return {
        "answer": tf.strings.substr(contexts, start, end - start, "UTF8_CHAR"),
        "start": start,
        "end": end,
        "score": tf.math.divide_no_nan(chosen, total),
    }


def bare_spans(contexts, start, end):
    """Spans without white space at their ends, as `candidates.bare_span`."""
    text = tf.strings.substr(contexts, start, end - start, "UTF8_CHAR")
    kept = [
        tf.strings.regex_replace(text, at, "") for at in (f"^{BLANKS}", f"{BLANKS}$")
    ]
    lead, trail = (end - start - tf.strings.length(x, "UTF8_CHAR") for x in kept)
    more = lead < end - start
    return start + tf.where(more, lead, 0), end - tf.where(more, trail, 0)


def label(windows, table, questions):
    """First and last place of the answer in each window, and what cannot be learnt.

    Args:
        windows: zoo.tokenizers.windows.Windows, ragged, in numpy.
        table: int32 `[W, 4]` as of `own_spans`.
        questions: Questions with answers.

    Returns:
        `(labels, problems)`: int32 `[W, 2]`, (0, 0) where the answer is not whole in a
        window; and for each question None or why it has to be left out, a str.
    """
    problems: list[str | None] = [None] * len(questions)
    begin, end = np.zeros([2, len(questions)], np.int64)
    for row, answers in enumerate(questions.answers):
        standing = [a for a in answers if _stands(a, questions.contexts[row])]
        if standing:
            begin[row] = standing[0].start
            end[row] = standing[0].start + len(standing[0].text)
        elif answers:
            problems[row] = "the text does not stand at answer_start"
    offsets = windows.inputs["offsets"]
    lengths = offsets.row_lengths().numpy()
    offsets = offsets.values.numpy().reshape(-1, 2)
    window = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    place = np.arange(len(window)) - starts[window]
    pair = windows.pair.numpy()
    row = pair[window]
    context = (place >= table[window, 0]) & (place < table[window, :2].sum(1))
    hit = context & (offsets[:, 1] > begin[row]) & (offsets[:, 0] < end[row])
    # Tokens of the answer, counted from the beginning of the context.
    token = (place - table[window, 0] + windows.begin.numpy()[window])[hit]
    first, last = np.full(len(questions), FAR), np.full(len(questions), -1)
    np.minimum.at(first, row[hit], token)
    np.maximum.at(last, row[hit], token)
    sought = end > begin
    local = table[:, 0] - windows.begin.numpy()
    labels = np.stack([first[pair] + local, last[pair] + local], 1)
    whole = (labels[:, 0] >= table[:, 0]) & (labels[:, 1] < table[:, :2].sum(1))
    whole &= last[pair] >= 0
    found = np.zeros(len(questions), bool)
    found[pair[whole]] = True
    for question in np.flatnonzero(sought & (last < 0)):
        problems[question] = "no token stands for the text"
    for question in np.flatnonzero((last >= 0) & ~found):
        problems[question] = "the text is longer than a window"
    return np.where(whole[:, None], labels, OUTSIDE).astype(np.int32), problems


def _stands(answer, context):
    text, start = answer
    return bool(text) and start >= 0 and context[start : start + len(text)] == text


def report_problems(problems, questions):
    """Warns of what is left out, by number and with examples.

    Args:
        problems: `(number, reason)` of each question that is left out.

    Raises:
        DataError: if nothing is left.
    """
    if not problems:
        return
    shown = []
    counts = Counter(reason for _, reason in problems)
    for reason, times in counts.most_common():
        number = next(number for number, why in problems if why == reason)
        answer = questions.answers[number][0]
        around = questions.contexts[number][max(answer.start, 0) :][:40]
        shown.append(
            f"{times:,}: {reason} (example {number}: {answer.text[:40]!r} at "
            f"{answer.start}, where the context has {around!r})"
        )
    said = (
        f"{len(problems):,} of {len(questions):,} examples are left out. "
        f"{'; '.join(shown)}."
    )
    if len(problems) == len(questions):
        raise DataError(f"there is no example to learn from: {said}")
    logger.warning("%s", said)
