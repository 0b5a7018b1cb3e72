"""Fine-tune, evaluate and export extractive question answering, SQuAD 1.1 or 2.0.

    python -m applications.question_answering                      # no flags needed
    python -m applications.question_answering --data train-v2.0.json \\
        --validation dev-v2.0.json --max-length 384 --epochs 2

No free data of real questions come with a package. The default questions are therefore
made by construction, out of passages of State of the Union addresses (public domain):
a span is taken out of a sentence, and what is left of the sentence asks for it. Scores
on them say little about questions that people ask. The default model is MiniLM-L6.
"""

import argparse
import sys
import time
from pathlib import Path

import keras
import numpy as np

from zoo import QuestionAnswerer, TensorBoard
from zoo.data.constructed_questions import SENTENCE, spans_of
from zoo.data.samples import fetch
from zoo.data.squad import write_predictions
from zoo.data.squad_scores import best_f1, squad_scores
from zoo.errors import ZooError
from zoo.export import run_in_clean_process
from zoo.tasks.markup import write_markup
from zoo.tasks.runs import make_output, write_results
from zoo.training.curves import Curve

SHOWN = 40  # examples on the page of answers


def read_flags(arguments=None):
    parser = argparse.ArgumentParser(
        prog="question_answering",
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, help="JSON file of SQuAD's form; without it, made ones")
    add("--validation", type=Path, help="such a file; without it, a tenth of the data")
    add("--model", help="directory or hub id of an encoder; without it, MiniLM")
    add("--output", type=Path, default=Path("runs/question_answering"), help="results")
    add("--epochs", type=_positive, default=1, help="passes over the data")
    add("--batch-size", type=_positive, default=16, help="windows in a step")
    add("--learning-rate", type=float, default=3e-4, help="its peak")
    add("--max-length", type=int, default=128, help="tokens of a window")
    add("--doc-stride", type=_positive, default=64, help="tokens to the next window")
    add("--seed", type=int, default=7, help="of the split, new weights and dropout")
    add(
        "--export",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write a SavedModel for TF Serving and try it in a clean process",
    )
    return parser.parse_args(arguments)


def read_data(flags):
    """Examples to train on, to tune the threshold on, and held-out ones."""
    if flags.data is None:
        everything = QuestionAnswerer.read_sample()
    else:
        everything = QuestionAnswerer.read_file(flags.data)
    print(everything.report)
    if flags.validation is None:
        everything, held_out = everything.hold_out(flags.seed)
    else:
        held_out = QuestionAnswerer.read_file(flags.validation)
        print(held_out.report)
    return *everything.hold_out(flags.seed + 1, fraction=0.05), held_out


def right_answers(examples):
    return [each["text"] for each in examples.answers]


class Baseline:
    """The sentence of the context that is nearest to the question by TF-IDF.

    Where questions are made, its first span of the kind that is asked for: the baseline
    then knows how they were made. Below a likeness that is tuned, there is no answer.
    """

    def __init__(self, train, tune, *, kinds=False):
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.kinds, self.least = kinds, 0.0
        contexts = sorted({each["context"] for each in train.inputs})
        self.vectors = TfidfVectorizer(sublinear_tf=True).fit(contexts)
        answers, likeness = self.find(tune)
        right = right_answers(tune)
        if not all(right):
            rows = list(zip(answers, right, strict=True))
            gain = [best_f1(one, texts) - best_f1("", texts) for one, texts in rows]
            order = np.argsort(-likeness)
            best = int(np.argmax(np.cumsum(np.array(gain)[order])))
            self.least = float(likeness[order[best]])

    def find(self, examples):
        """Answers, and how near each sentence is."""
        answers, likeness = [], []
        for each in examples.inputs:
            sentences = SENTENCE.split(each["context"])
            vectors = self.vectors.transform([each["question"], *sentences])
            near = (vectors[1:] @ vectors[0].T).toarray()[:, 0]
            best = sentences[int(near.argmax())]
            spans = spans_of(each["kind"], best) if self.kinds else [(0, len(best))]
            answers.append(best[slice(*spans[0])] if spans else best)
            likeness.append(near.max())
        return answers, np.array(likeness)

    def score(self, examples):
        answers, likeness = self.find(examples)
        rows = zip(answers, likeness, strict=True)
        given = [answer if near >= self.least else "" for answer, near in rows]
        return squad_scores(given, right_answers(examples))


def write_answers(path, examples, found):
    """A page with the answers marked; below, in grey, the right ones that differ."""
    rows = []
    for each, answer, right in zip(
        examples.inputs[:SHOWN], found, examples.answers, strict=False
    ):
        shift = len(each["question"]) + 1
        wanted = zip(right["text"], right["answer_start"], strict=True)
        spans = [(start, start + len(text)) for text, start in wanted]
        given = [(answer["start"], answer["end"])] if answer["answer"] else []
        marks = [
            [
                {"start": a + shift, "end": z + shift, "entity": "answer"}
                for a, z in part
            ]
            for part in (given, spans[:1])
        ]
        rows.append((f"{each['question']}\n{each['context']}", *marks))
    write_markup(path, rows, title="Questions and answers")


def main(arguments=None):
    flags = read_flags(arguments)
    began = time.perf_counter()
    keras.utils.set_random_seed(flags.seed)

    train, tune, held_out = read_data(flags)
    sizes = (len(part) for part in (train, tune, held_out))
    print("{:,} to train on, {:,} to tune on, {:,} held out".format(*sizes))
    source = flags.model or fetch(QuestionAnswerer.sample_model)
    output = make_output(flags.output)
    started = time.perf_counter()  # downloads are over, unless the model is on a hub

    model = QuestionAnswerer.from_pretrained(source)
    model.max_length = min(flags.max_length, model.config.max_position_embeddings)
    model.doc_stride = flags.doc_stride
    model.compile(learning_rate=flags.learning_rate)

    curve = Curve(model.metric)
    fit_started = time.perf_counter()
    model.fit(
        train.inputs,
        train.answers,
        batch_size=flags.batch_size,
        epochs=flags.epochs,
        validation_data=(tune.inputs, tune.answers),
        callbacks=[TensorBoard(output / "logs"), curve],
        seed=flags.seed,
    )
    fit_seconds = time.perf_counter() - fit_started
    some_have_none = not all(right_answers(tune))
    if some_have_none:
        model.tune_null_threshold(tune.inputs, tune.answers)
    model.save_pretrained(output / "model")

    found = model.predict(held_out.inputs, verbose=0)
    right = right_answers(held_out)
    scores = {}
    if some_have_none:
        scores["never an answer"] = squad_scores([""] * len(right), right)
    scores["TF-IDF sentence overlap"] = Baseline(train, tune).score(held_out)
    if flags.data is None:
        guess = Baseline(train, tune, kinds=True)
        scores["the same, first span of the kind"] = guess.score(held_out)
    scores["after training"] = squad_scores([x["answer"] for x in found], right)
    print(
        f"\n{'on held-out questions':36}{'EM':>7}{'F1':>7}{len(held_out):>7,} questions"
    )
    for name, score in scores.items():
        print(f"  {name:34}{score['exact_match']:7.3f}{score['f1']:7.3f}")
    if flags.data is None:
        print("The questions were made by construction: no person asked them.")

    if flags.export:
        exported = model.export_saved_model(output / "export", version=1)
        asked = held_out.inputs[:4]
        columns = {name: [each[name] for each in asked] for name in model.parts}
        served = run_in_clean_process(exported, columns)
        print("\nthe export, in a process without zoo and Keras")
        for i, each in enumerate(asked):
            answer = served["answer"][i] or "(no answer)"
            print(f"  {served['score'][i]:5.3f}  {each['question']}\n         {answer}")

    seconds = time.perf_counter() - started
    trained = scores.pop("after training")
    questions = {"training": len(train), "tuning": len(tune), "held_out": len(held_out)}
    metrics = {
        **trained,
        "compared": scores,
        "null_threshold": model.null_threshold,
        "questions": questions,
        "made_by_construction": flags.data is None,
        "fit_seconds": round(fit_seconds, 1),
        "seconds": round(seconds, 1),
        "flags": vars(flags),
    }
    files = write_results(output, metrics, curve=curve)
    write_answers(output / "answers.html", held_out, found)
    ids = [each["id"] for each in held_out.inputs]
    answers = [each["answer"] for each in found]
    write_predictions(output / "predictions.json", dict(zip(ids, answers, strict=True)))
    files += ["answers.html", "predictions.json", "model/", "logs/ (tensorboard)"]
    files += ["export/ (TF Serving)"] * flags.export
    print(f"\n{output}: {', '.join(files)}")
    print(
        f"{seconds:.0f} s, {fit_seconds:.0f} of them training; with reading the data "
        f"{time.perf_counter() - began:.0f} s"
    )


def _positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 on")
    return int(text)


if __name__ == "__main__":
    try:
        main()
    except (ZooError, OSError) as error:
        sys.exit(f"error: {error}")
