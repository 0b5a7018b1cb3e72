"""What recipes say at their end: scores beside others, the export, files, seconds."""

import time
from collections.abc import Mapping

from zoo.export import run_in_clean_process
from zoo.tasks.results.pictures import draw_attention
from zoo.tasks.results.runs import write_results


def print_table(title, rows, columns):
    """Prints numbers in columns.

    Args:
        title: What stands above the names of the rows.
        rows: Name -> {column: number}. What a row lacks stays empty.
        columns: Their names, or name -> format; without one, ".3f".
    """
    if not isinstance(columns, Mapping):
        columns = dict.fromkeys(columns, ".3f")
    width = max(34, *map(len, rows)) + 2
    widths = {column: max(9, len(column) + 2) for column in columns}
    heads = (f"{column:>{widths[column]}}" for column in columns)
    print(f"\n{title:{width}}" + "".join(heads))
    for name, row in rows.items():
        cells = (
            f"{row[column]:{widths[column]}{form}}"
            if row.get(column) is not None
            else " " * widths[column]
            for column, form in columns.items()
        )
        print(f"  {name:{width - 2}}" + "".join(cells).rstrip())


def print_scores(title, rows, columns, *, measure, less_is_better=False):
    """Prints scores, and below whether the model is better than what stands beside it.

    Args:
        title, rows, columns: As of `print_table`; the last row is the model's.
        measure: The column by which they are compared.
        less_is_better: Whether a smaller number is the better one.
    """
    print_table(title, rows, columns)
    *others, own = rows
    for other in others:
        if measure not in rows[other]:
            continue
        reached, theirs = rows[own][measure], rows[other][measure]
        better = reached < theirs if less_is_better else reached > theirs
        verdict = "better" if better else "NOT better"
        against = f"{measure} {reached:.3f} against {theirs:.3f}"
        print(f"{own}: {verdict} than {other}, {against}")


def try_export(model, output, inputs, **options):
    """Writes the SavedModel `export/1`, and asks it in a process of its own.

    Args:
        model: Of a task.
        output: Directory of the results.
        inputs: Name -> list of str.
        options: Of `model.export_saved_model`.

    Returns:
        What it answers: name -> list.
    """
    exported = model.export_saved_model(output / "export", version=1, **options)
    found = run_in_clean_process(exported, inputs)
    print("\nthe export, in a process without zoo and Keras")
    return found


def try_classifier(classifier, output, texts):
    """`try_export` of a TextClassifier; prints the labels that it gives to texts."""
    found = try_export(classifier, output, {"text": texts})
    rows = zip(found["label"], found["probabilities"], texts, strict=True)
    for name, probabilities, text in rows:
        print(f"  {name:12}{max(probabilities):6.3f}  {text}")


def draw_looks(model, output, text, pair=None):
    """Writes attention.png: which tokens of a text look at which, by layers.

    Args:
        model: Of a task. Of an encoder-decoder, the encoder is drawn.
        pair: A second text; then those of the first are drawn, and what they look at in
            the second.
    """
    length, second = {"max_length": model.max_length}, None if pair is None else [pair]
    inputs = model.tokenizer([text], pair=second, **length)
    tokens = [model.tokenizer.id_to_token(int(i)) for i in inputs["input_ids"][0]]
    places = {}
    if pair is not None:
        alone = model.tokenizer([text], **length)["input_ids"].shape[1]
        places = {"looking": range(alone), "looked_at": range(alone, len(tokens))}
    attentions = model.attentions(inputs)
    if isinstance(attentions, dict):
        attentions = attentions["encoder"]
    draw_attention(output / "attention.png", attentions, tokens, **places)


def finish(output, flags, rows, facts, *, began, files=(), curve=None, **pictured):
    """Writes metrics.json and the pictures, and says what is where and what it took.

    metrics.json holds the scores of the model by their names, those of the other rows
    under "compared", the facts, "seconds" and the flags.

    Args:
        output: Directory of the results.
        flags: Of the recipe.
        rows: As of `print_scores`.
        facts: What else is to stand in metrics.json: "examples", how many of each part;
            "fit_seconds", where the model's scores have none.
        began: `time.perf_counter()` when the examples were read.
        files: What else is in the directory, beside the model and the logs.
        curve, pictured: As of `write_results`.
    """
    *others, own = rows
    seconds = time.perf_counter() - began
    said = dict(vars(flags))
    metrics = {
        "recipe": said.pop("recipe"),
        "command": said.pop("command"),
        "model": own,
        **rows[own],
        "compared": {name: rows[name] for name in others},
        **facts,
        "seconds": round(seconds, 1),
        "flags": said,
    }
    written = write_results(output, metrics, curve=curve, **pictured)
    written += [*files, "model/", "logs/ (tensorboard)"]
    if said.get("export"):
        written.append("export/ (TF Serving)")
    print(f"\n{output}: {', '.join(written)}")
    print(f"{seconds:.0f} s, {metrics['fit_seconds']:.0f} of them in training")
