"""Fine-tune, evaluate and export extractive question answering, SQuAD 1.1 or 2.0.

    python -m applications.question_answering                      # no flags needed
    python -m applications.question_answering --data train-v2.0.json \\
        --validation dev-v2.0.json --max-length 384 --epochs 2

No free data of real questions come with a package. The default questions are therefore
made by construction, out of passages of State of the Union addresses (public domain):
a span is taken out of a sentence, and what is left of the sentence asks for it. Scores
on them say little about questions that people ask. The default model is MiniLM-L6.
"""

import time

import keras
import numpy as np

from applications.flags import RecipeParser, positive, read_examples, run
from applications.report import draw_looks, finish, print_scores, try_export
from zoo import QuestionAnswerer, TensorBoard
from zoo.data.constructed_questions import SENTENCE, spans_of
from zoo.data.samples import fetch
from zoo.data.squad import write_predictions
from zoo.data.squad_scores import best_f1, squad_scores
from zoo.tasks.results.markup import write_markup
from zoo.tasks.results.runs import make_output
from zoo.training.curves import Curve

SHOWN = 40  # examples on the page of answers


def read_flags(arguments=None):
    parser = RecipeParser(
        "question_answering",
        __doc__,
        data="JSON file of SQuAD's form; without it, made ones",
        model="directory or hub id to begin with; without it, MiniLM",
        epochs=1,
        batch_size=16,
        learning_rate=3e-4,
        examples="windows",
    )
    add = parser.add_argument
    add("--max-length", type=positive, default=128, help="tokens of a window")
    add("--doc-stride", type=positive, default=64, help="tokens to the next window")
    return parser.parse_args(arguments)


def read_data(flags):
    """Examples to train on, to tune the threshold on, and held-out ones."""
    everything, held_out = read_examples(QuestionAnswerer, flags)
    if held_out is None:
        everything, held_out = everything.hold_out(flags.seed)
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
    keras.utils.set_random_seed(flags.seed)
    train, tune, held_out = read_data(flags)
    sizes = {"training": len(train), "tuning": len(tune), "held_out": len(held_out)}
    print("{:,} to train on, {:,} to tune on, {:,} held out".format(*sizes.values()))
    source = flags.model or fetch(QuestionAnswerer.sample_model)
    output = make_output(flags.output)
    began = time.perf_counter()  # downloads are over, unless the model is on a hub

    model = QuestionAnswerer.from_pretrained(source)
    model.limit_length(flags.max_length)
    model.doc_stride = flags.doc_stride
    model.compile(learning_rate=flags.learning_rate)

    curve, fit_began = Curve(model.metric), time.perf_counter()
    model.fit(
        train.inputs,
        train.answers,
        batch_size=flags.batch_size,
        epochs=flags.epochs,
        validation_data=(tune.inputs, tune.answers),
        callbacks=[TensorBoard(output / "logs"), curve],
        seed=flags.seed,
    )
    fit_seconds = time.perf_counter() - fit_began
    some_have_none = not all(right_answers(tune))
    if some_have_none:
        model.tune_null_threshold(tune.inputs, tune.answers)
    model.save_pretrained(output / "model")

    found = model.predict(held_out.inputs, verbose=0)
    right = right_answers(held_out)
    rows = {}
    if some_have_none:
        rows["never an answer"] = squad_scores([""] * len(right), right)
    rows["TF-IDF sentence overlap"] = Baseline(train, tune).score(held_out)
    if flags.data is None:
        guess = Baseline(train, tune, kinds=True)
        rows["the same, first span of the kind"] = guess.score(held_out)
    rows["after training"] = squad_scores([each["answer"] for each in found], right)
    title = f"{len(held_out):,} held-out questions"
    print_scores(title, rows, ("exact_match", "f1"), measure="f1")
    if flags.data is None:
        print("The questions were made by construction: no person asked them.")

    if flags.export:
        asked = held_out.inputs[:4]
        columns = {name: [each[name] for each in asked] for name in model.parts}
        served = try_export(model, output, columns)
        for i, each in enumerate(asked):
            answer = served["answer"][i] or "(no answer)"
            print(f"  {served['score'][i]:5.3f}  {each['question']}\n         {answer}")

    write_answers(output / "answers.html", held_out, found)
    shortest = min(held_out.inputs, key=lambda each: len(each["context"]))
    draw_looks(model, output, shortest["question"], shortest["context"])
    pairs = zip(held_out.inputs, found, strict=True)
    answers = {each["id"]: answer["answer"] for each, answer in pairs}
    write_predictions(output / "predictions.json", answers)
    facts = {
        "null_threshold": model.null_threshold,
        "examples": sizes,
        "made_by_construction": flags.data is None,
        "fit_seconds": round(fit_seconds, 1),
    }
    files = ["answers.html", "attention.png", "predictions.json"]
    finish(output, flags, rows, facts, began=began, files=files, curve=curve)


if __name__ == "__main__":
    run(main)
