"""Spans: the best of windows, and answers out of these, as graph ops."""

import numpy as np
import tensorflow as tf

BLANKS = r"[\t-\r\x1c-\x1f\x{85}\pZ]+"  # what Python calls white space


def best_spans(logits, table, *, longest, count):
    """The best spans of each window, as graph ops.

    Args:
        logits: Of first and last tokens, float32 `[W, 2, T]`.
        table: int32 `[W, 4]` as of `examples.question_windows.own_spans`.
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
