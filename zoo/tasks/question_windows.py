"""Windows of ids that questions and their contexts make, and the answers in them."""

import numpy as np
import tensorflow as tf

from zoo.tasks import spans

CHUNK = 512  # questions that are encoded together


def cut(questions, encode, names, *, labelled):
    """All windows of Questions, a `spans.WindowSet`.

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
            marks, reasons = spans.label(windows, table, part)
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
        spans.report_problems(problems, questions)
    inputs = {name: tf.concat(found[name], 0) for name in names}
    example = np.concatenate(examples)
    weights = questions.weights
    return spans.WindowSet(
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
