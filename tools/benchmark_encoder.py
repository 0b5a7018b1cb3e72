"""Benchmarks `train` and `forward`: one BERT classifier in three libraries.

Each library runs in its ordinary way: zoo and KerasHub through `fit` and `predict` on
a repeated in-memory tf.data dataset, transformers in the usual PyTorch loop. A step is
the time from the end of one batch to the end of the next, so that nothing is left out.
Weights are new and random: only time is measured, and it does not depend on them.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from tools.benchmark_turns import Contender, Session, best_of

PRECISIONS = ("float32", "bfloat16")
BATCHES = 8  # that are prepared and repeated
LEARNING_RATE, WEIGHT_DECAY = 1e-5, 0.01


@dataclass(frozen=True)
class Shape:
    """The model and its batches; the default has the shape of MiniLM-L6."""

    layers: int = 6
    hidden: int = 384
    heads: int = 12
    feedforward: int = 1536
    vocabulary: int = 30_522
    positions: int = 512
    classes: int = 2
    dropout: float = 0.1
    batch: int = 16
    length: int = 128

    def data(self):
        """Batches of `(ids, mask, types, labels)`: rows from half to full length."""
        random = np.random.default_rng(0)
        for _ in range(BATCHES):
            size = (self.batch, self.length)
            ids = random.integers(1_000 % self.vocabulary, self.vocabulary, size)
            lengths = random.integers(self.length // 2, self.length + 1, self.batch)
            mask = (np.arange(self.length) < lengths[:, None]).astype("int32")
            labels = random.integers(0, self.classes, self.batch)
            yield (
                (ids * mask).astype("int32"),
                mask,
                np.zeros(size, "int32"),
                labels.astype("int32"),
            )


def contenders(task, precision, shape=None, threads=None):
    """Who is measured.

    Args:
        task: "train" or "forward".
        precision: "float32" or "bfloat16".
        shape: `Shape`.
        threads: Threads of each contender; None: each library's own choice.
    """
    options = {
        "task": task,
        "precision": precision,
        "shape": asdict(shape or Shape()),
        "threads": threads,
    }
    torch = ("torch", "transformers")
    return [
        Contender("zoo", start_zoo, options),
        Contender("KerasHub", start_keras_hub, options, ("keras_hub",)),
        Contender("transformers", start_transformers, options, torch),
    ]


def start_zoo(task, precision, shape, threads):
    """zoo as a user finds it: its classifier, optimizer and choice of compilation."""
    shape, policy = Shape(**shape), mixed(precision)
    set_tensorflow_threads(threads)
    from zoo import TextClassifier, TransformerConfig
    from zoo.training.optimizers import AdamW

    config = TransformerConfig(
        **sizes(shape),
        max_position_embeddings=shape.positions,
        embedding_norm=True,
        type_vocab_size=2,
        norm_place="post",
        pooler=True,
        layer_norm_eps=1e-12,
    )
    labels = [str(number) for number in range(shape.classes)]
    model = TextClassifier(config, labels=labels, dtype=policy)
    # The learning rate, and no metrics: as the others have it.
    model.compile(AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY), metrics=[])
    names = ("input_ids", "attention_mask", "token_type_ids")
    session = keras_session(task, model, named(shape, names))
    session.about["variant"] = f"{policy}, {compilation(model.jit_compile)}"
    return session


def sizes(shape):
    """Sizes and dropouts as TransformerConfig names them."""
    return {
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.feedforward,
        "hidden_dropout_prob": shape.dropout,
        "attention_probs_dropout_prob": shape.dropout,
        "embedding_dropout_prob": shape.dropout,
    }


def named(shape, names):
    """Batches `(inputs, labels)`, the inputs under the names that a library gives."""
    return [(dict(zip(names, x, strict=True)), y) for *x, y in shape.data()]


def start_keras_hub(task, precision, shape, threads):
    """KerasHub, with and without XLA: whichever is faster here."""
    shape, policy = Shape(**shape), mixed(precision)
    set_tensorflow_threads(threads)
    import keras
    import keras_hub

    batches = named(shape, ("token_ids", "padding_mask", "segment_ids"))

    def start(jit):
        backbone = keras_hub.models.BertBackbone(
            vocabulary_size=shape.vocabulary,
            num_layers=shape.layers,
            num_heads=shape.heads,
            hidden_dim=shape.hidden,
            intermediate_dim=shape.feedforward,
            dropout=shape.dropout,
            max_sequence_length=shape.positions,
            num_segments=2,
            dtype=policy,
        )
        model = keras_hub.models.BertTextClassifier(
            backbone,
            num_classes=shape.classes,
            preprocessor=None,
            dropout=shape.dropout,
        )
        model.compile(
            optimizer=keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=jit,
        )
        return keras_session(task, model, batches)

    return best_of(
        {
            f"{policy}, {compilation(jit)}": lambda jit=jit: start(jit)
            for jit in (False, True)
        }
    )


def keras_session(task, model, batches):
    """Steps of `fit` or `predict` on batches `(inputs, labels)` that are repeated."""
    import keras
    import tensorflow as tf

    class Clock(keras.callbacks.Callback):
        """Notes the time whenever the results of a batch are there."""

        def on_train_batch_end(self, batch, logs=None):
            float(logs["loss"])  # an accelerator may still be computing
            times.append(time.perf_counter())

        def on_predict_batch_end(self, batch, logs=None):
            np.asarray(logs["outputs"])
            times.append(time.perf_counter())

    times: list[float] = []
    inputs, labels = zip(*batches, strict=True)
    stacked = {name: np.stack([x[name] for x in inputs]) for name in inputs[0]}
    data = tf.data.Dataset.from_tensor_slices((stacked, np.stack(labels)))
    data = data.repeat().prefetch(tf.data.AUTOTUNE)

    def run(count):
        options = {"verbose": 0, "callbacks": [Clock()]}
        times[:] = [time.perf_counter()]
        if task == "train":
            model.fit(data, steps_per_epoch=count, shuffle=False, **options)
        else:
            model.predict(data, steps=count, **options)
        return np.diff(times).tolist()

    model(inputs[0])  # builds it
    gpus = tf.config.list_physical_devices("GPU")
    return Session(
        run,
        {
            "parameters": model.count_params(),
            "threads": tensorflow_threads(),
            "device": "GPU" if gpus else "CPU",
        },
    )


def start_transformers(task, precision, shape, threads):
    """transformers on PyTorch, in the variant of it that is fastest here."""
    shape = Shape(**shape)
    import torch
    import transformers

    if threads:
        torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":  # TensorFlow uses TF32 on its own accord
        torch.set_float32_matmul_precision("high")
    config = transformers.BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.feedforward,
        max_position_embeddings=shape.positions,
        hidden_dropout_prob=shape.dropout,
        attention_probs_dropout_prob=shape.dropout,
        classifier_dropout=shape.dropout,
        num_labels=shape.classes,
    )
    names = ("input_ids", "attention_mask", "token_type_ids", "labels")
    batches = [
        {
            name: torch.from_numpy(value).long().to(device)
            for name, value in zip(names, batch, strict=True)
        }
        for batch in shape.data()
    ]
    half = precision == "bfloat16"

    def start(optimizer=None, weights=torch.float32, autocast=half):
        model = transformers.BertForSequenceClassification(config).to(device, weights)
        autocast = torch.autocast(device, torch.bfloat16, enabled=autocast)
        if task == "train":
            run = torch_training(model, batches, autocast, optimizer)
        else:
            run = torch_forward(model, batches, autocast)
        return Session(
            run,
            {
                "parameters": sum(p.numel() for p in model.parameters()),
                "threads": str(torch.get_num_threads()),
                "device": "GPU" if device == "cuda" else "CPU",
            },
        )

    kind = "bfloat16 autocast" if half else "float32"
    variants: dict[str, Callable[[], Session]]
    if task == "train":
        variants = {
            f"{kind}, fused AdamW": lambda: start({"fused": True}),
            f"{kind}, multi-tensor AdamW": lambda: start({"foreach": True}),
        }
        return best_of(variants)
    variants = {kind: start}
    if half:
        variants["bfloat16 weights"] = lambda: start(
            weights=torch.bfloat16, autocast=False
        )
    return best_of(variants)


def torch_training(model, batches, autocast, optimizer):
    """Steps of the usual loop."""
    import torch

    model.train()
    adam = torch.optim.AdamW(
        model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, **optimizer
    )
    source = itertools.cycle(batches)

    def run(count):
        times = [time.perf_counter()]
        for batch in itertools.islice(source, count):
            adam.zero_grad(set_to_none=True)
            with autocast:
                loss = model(**batch).loss
            loss.backward()
            adam.step()
            loss.item()
            if loss.is_cuda:
                torch.cuda.synchronize()
            times.append(time.perf_counter())
        return np.diff(times).tolist()

    return run


def torch_forward(model, batches, autocast):
    """Steps of inference."""
    import torch

    model.eval()
    unlabelled = [{k: v for k, v in x.items() if k != "labels"} for x in batches]
    source = itertools.cycle(unlabelled)

    def run(count):
        times = [time.perf_counter()]
        with torch.inference_mode(), autocast:
            for batch in itertools.islice(source, count):
                model(**batch).logits.float().cpu().numpy()
                times.append(time.perf_counter())
        return np.diff(times).tolist()

    return run


def mixed(precision):
    """The Keras dtype policy of a precision."""
    return "mixed_bfloat16" if precision == "bfloat16" else precision


def compilation(jit):
    return "XLA" if jit else "graph"


def set_tensorflow_threads(threads):
    import tensorflow as tf

    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


def tensorflow_threads():
    """The pools of threads; TensorFlow's 0 stands for one thread per core."""
    import tensorflow as tf

    from tools.benchmark_report import usable_cores

    intra = tf.config.threading.get_intra_op_parallelism_threads() or usable_cores()
    inter = tf.config.threading.get_inter_op_parallelism_threads() or usable_cores()
    return f"{intra} within and {inter} between operations"
