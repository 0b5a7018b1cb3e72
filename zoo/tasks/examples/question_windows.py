"""Windows of ids that questions and their contexts make, and the answers in them.

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
from zoo.tasks.examples import forms

logger = logging.getLogger("zoo")
FAR = 1 << 24  # beyond every sum of two places
OUTSIDE = 0  # the place of [CLS], where the answer of a window that has none is
CHUNK = 512  # questions that are encoded together


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


def cut(questions, encode, names, *, labelled):
    """All windows of Questions, a `WindowSet`.

    Args:
        questions: Questions; with `labelled` they have answers.
        encode: From strings `[B]` by column to windows and their table, as of
            `QuestionAnswerer.encode`.
        names: Of the inputs of the model.
        labelled: Whether to give the places of answers, and to leave out, with a
            warning, what cannot be learnt; else, the offsets of tokens.
    """
    found: dict[str, list] = {name: [] for name in (*names, "offsets")}
    tables, examples, labels, problems = [], [], [], []
    for start in range(0, len(questions), CHUNK):
        part = questions.take(range(start, min(start + CHUNK, len(questions))))
        columns = {
            "question": tf.constant(part.questions),
            "context": tf.constant(part.contexts),
        }
        windows, table = encode(columns)
        table, example = table.numpy(), windows.pair.numpy()
        kept = np.arange(len(table))
        if labelled:
            marks, reasons = label(windows, table, part)
            kept = np.flatnonzero([reasons[row] is None for row in example])
            labels.append(marks[kept])
            problems += [
                (start + row, reason)
                for row, reason in enumerate(reasons)
                if reason is not None
            ]
        for name in names:
            found[name].append(tf.gather(windows.inputs[name], kept))
        if not labelled:
            found["offsets"].append(windows.inputs["offsets"].values.numpy())
        tables.append(table[kept])
        examples.append(start + example[kept])
    if labelled:
        report_problems(problems, questions)
    inputs = {name: tf.concat(found[name], 0) for name in names}
    example = np.concatenate(examples)
    weights = questions.weights
    return WindowSet(
        inputs,
        True,
        labels=np.concatenate(labels) if labelled else None,
        weights=None if weights is None or not labelled else weights[example],
        table=np.concatenate(tables),
        example=example,
        offsets=None
        if labelled
        else np.concatenate([part.reshape(-1, 2) for part in found["offsets"]]),
        splits=inputs["input_ids"].row_splits.numpy(),
    )


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
