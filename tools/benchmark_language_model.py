"""Benchmark `train`, language models: steps of GPT-2 and T5 in three libraries.

As in `benchmark_encoder`, each library runs in its ordinary way, and a step is the time
from the end of one batch to the end of the next. Rows are full, so that each library
scores the same tokens. KerasHub has no T5 that is trained.
"""

from dataclasses import asdict, dataclass

import numpy as np

from tools.benchmark_encoder import (
    BATCHES,
    LEARNING_RATE,
    WEIGHT_DECAY,
    compilation,
    keras_session,
    set_tensorflow_threads,
    sizes,
    torch_training,
)
from tools.benchmark_turns import Contender, Session, best_of

START = 0  # what T5's decoder begins with


@dataclass(frozen=True)
class Work:
    """A model and its batches; the default has the shape of GPT-2 124M.

    Attributes:
        model: "gpt2" or "t5".
        target: Tokens that T5 writes; 0: there is no decoder beside.
    """

    model: str = "gpt2"
    layers: int = 12
    hidden: int = 768
    heads: int = 12
    feedforward: int = 3_072
    vocabulary: int = 50_257
    positions: int = 1_024
    dropout: float = 0.1
    batch: int = 4
    length: int = 256
    target: int = 0

    def data(self):
        """Batches of `(ids, targets)`; without a decoder beside, the same."""
        random = np.random.default_rng(0)
        for _ in range(BATCHES):
            ids, targets = (
                random.integers(3, self.vocabulary, (self.batch, n)).astype("int32")
                for n in (self.length, self.target or self.length)
            )
            yield ids, targets if self.target else ids


WORKS = {
    "GPT-2 124M shape, 4 x 256, float32": Work(),
    "T5-small shape, 8 x 64 and 64, float32": Work(
        model="t5",
        layers=6,
        hidden=512,
        heads=8,
        feedforward=2_048,
        vocabulary=32_128,
        batch=8,
        length=64,
        target=64,
    ),
}


def contenders(work, threads=None):
    """Who is measured."""
    options = {"work": asdict(work), "threads": threads}
    found = [Contender("zoo", start_zoo, options)]
    if work.model == "gpt2":
        found.append(Contender("KerasHub", start_keras_hub, options, ("keras_hub",)))
    torch = ("torch", "transformers")
    return [*found, Contender("transformers", start_transformers, options, torch)]


def start_zoo(work, threads):
    """zoo with its choice of compilation and its way to the loss."""
    work = Work(**work)
    set_tensorflow_threads(threads)
    from zoo.training.optimizers import AdamW

    if work.model == "gpt2":
        model = gpt2(work)
        batches = [({"input_ids": ids}, ids) for ids, _ in work.data()]
    else:
        model = t5(work)
        batches = [
            ({"input_ids": ids, "decoder_input_ids": shifted(targets)}, targets)
            for ids, targets in work.data()
        ]
    model.compile(AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY), metrics=[])
    session = keras_session("train", model, batches)
    session.about["variant"] = compilation(model.jit_compile)
    return session


def gpt2(work):
    from zoo import GPTModel, TransformerConfig

    return GPTModel(
        TransformerConfig(
            model_type="gpt2",
            max_position_embeddings=work.positions,
            hidden_act="gelu_new",
            **sizes(work),
        )
    )


def t5(work):
    from zoo import T5Model

    return T5Model(
        t5_config(
            feedforward_dropout_prob=work.dropout,
            final_dropout_prob=work.dropout,
            **sizes(work),
        )
    )


def t5_config(*, hidden_size, **options):
    """A T5 of the first version: relu, and a head that is the token table."""
    from zoo import TransformerConfig

    return TransformerConfig(
        model_type="t5",
        hidden_size=hidden_size,
        hidden_act="relu",
        norm="rms",
        norm_bias=False,
        layer_norm_eps=1e-6,
        position="relative",
        attention_scale=1.0,
        attention_bias=False,
        attention_output_bias=False,
        mlp_bias=False,
        tie_word_embeddings=True,
        logit_scale=hidden_size**-0.5,
        pad_token_id=START,
        eos_token_id=1,
        decoder_start_token_id=START,
        **options,
    )


def shifted(targets):
    """What T5's decoder reads: the start, and all targets but the last."""
    return np.pad(targets[:, :-1], [[0, 0], [1, 0]], constant_values=START)


def start_keras_hub(work, threads):
    """KerasHub's GPT-2, with and without XLA: whichever is faster here."""
    work = Work(**work)
    set_tensorflow_threads(threads)
    import keras
    from keras_hub.models import GPT2Backbone, GPT2CausalLM

    batches = []
    for ids, _ in work.data():
        inputs = {"token_ids": ids[:, :-1], "padding_mask": np.ones_like(ids[:, 1:])}
        batches.append((inputs, ids[:, 1:]))

    def start(jit):
        backbone = GPT2Backbone(
            vocabulary_size=work.vocabulary,
            num_layers=work.layers,
            num_heads=work.heads,
            hidden_dim=work.hidden,
            intermediate_dim=work.feedforward,
            dropout=work.dropout,
            max_sequence_length=work.positions,
        )
        model = GPT2CausalLM(backbone=backbone, preprocessor=None)
        model.compile(
            optimizer=keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=jit,
        )
        return keras_session("train", model, batches)

    variants = {compilation(jit): lambda jit=jit: start(jit) for jit in (False, True)}
    return best_of(variants, probe=2, warmup=1)


def start_transformers(work, threads):
    """transformers, with fused and multi-tensor AdamW: whichever is faster here."""
    work = Work(**work)
    import contextlib

    import torch
    import transformers

    if threads:
        torch.set_num_threads(threads)
    names = ("input_ids", "labels")
    batches = [
        {name: torch.from_numpy(x).long() for name, x in zip(names, batch, strict=True)}
        for batch in work.data()
    ]

    def start(optimizer):
        model = torch_gpt2(work) if work.model == "gpt2" else torch_t5(work)
        run = torch_training(model, batches, contextlib.nullcontext(), optimizer)
        about = {
            "parameters": sum(p.numel() for p in model.parameters()),
            "threads": str(torch.get_num_threads()),
        }
        return Session(run, about)

    transformers.utils.logging.set_verbosity_error()
    variants = {
        "fused AdamW": lambda: start({"fused": True}),
        "multi-tensor AdamW": lambda: start({"foreach": True}),
    }
    return best_of(variants, probe=2, warmup=1)


def torch_gpt2(work):
    import transformers

    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=work.vocabulary,
            n_embd=work.hidden,
            n_layer=work.layers,
            n_head=work.heads,
            n_inner=work.feedforward,
            n_positions=work.positions,
            resid_pdrop=work.dropout,
            embd_pdrop=work.dropout,
            attn_pdrop=work.dropout,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def torch_t5(work):
    import transformers

    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=work.vocabulary,
            d_model=work.hidden,
            d_kv=work.hidden // work.heads,
            d_ff=work.feedforward,
            num_layers=work.layers,
            num_heads=work.heads,
            dropout_rate=work.dropout,
            decoder_start_token_id=START,
            pad_token_id=START,
        )
    )
