"""Tiny random models that write, with clear preferences, and tokenizers for them."""

import pathlib

import keras
import tensorflow as tf
import tokenizers

from zoo.config import TransformerConfig
from zoo.models import GPTModel, T5Model
from zoo.tokenizers import Tokenizer

GOLDEN = pathlib.Path(__file__).parents[1] / "fixtures" / "golden"
SIZE = 40  # tokens of a vocabulary without texts
SIZES = {
    "vocab_size": SIZE,
    "hidden_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.5,
    "bos_token_id": 1,
    "pad_token_id": 0,
}
ROTARY = {
    "position": "rotary",
    "norm": "rms",
    "feedforward": "gated",
    **dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias"), False),
}
KINDS = {
    "learned": (GPTModel, {"position": "learned"}),
    "grouped": (GPTModel, {**ROTARY, "num_key_value_heads": 2}),
    # The one of two layers: each more is traced and compiled in every program.
    "window": (
        GPTModel,
        {
            **ROTARY,
            "num_hidden_layers": 2,
            "num_key_value_heads": 2,
            "sliding_window": 4,
        },
    ),
    "t5": (
        T5Model,
        {"position": "relative", "norm": "rms", "decoder_start_token_id": 0},
    ),
}
TEXTS = ["the cat sat", "a", "猫が好き 👩‍👩‍👧", "one two three four"]
SHORT = ["the cat sat", "a", "猫が", "the cat"]  # of one bucket: compiled once, alone


def make(kind, dtype=None, seed=0, **changes):
    """A model of this kind, of seeded weights; `changes` are of its configuration."""
    cls, options = KINDS[kind]
    keras.utils.set_random_seed(seed)
    return cls(TransformerConfig(**{**SIZES, **options, **changes}), dtype=dtype)


def with_texts(kind, **changes):
    """The same with a tokenizer, whose vocabulary is the model's."""
    tokenizer = unigram() if kind == "t5" else byte_level()
    model = make(kind, vocab_size=tokenizer.vocab_size, **changes)
    model.tokenizer = tokenizer
    return model


def byte_level():
    """Bytes, a few merges, and an end: characters beyond ASCII are several tokens."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("Ġ", "c"), ("a", "t"), ("Ġc", "at")]
    pieces = ["<pad>", "<s>", "</s>", *alphabet, *(a + b for a, b in merges)]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    reference = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, merges))
    reference.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
        add_prefix_space=False
    )
    reference.decoder = tokenizers.decoders.ByteLevel()
    reference.add_special_tokens(["<pad>", "<s>", "</s>"])
    return Tokenizer({"tokenizer.json": reference.to_str().encode()})


def unigram():
    """T5's kind: pieces with scores, and an end behind every source."""
    letters = "abcdefghijklmnopqrstuvwxyz猫"
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), ("▁", -2.0)]
    pieces += [(letter, -4.0) for letter in letters]
    pieces += [("▁the", -1.0), ("▁cat", -1.5), ("▁a", -2.5), ("at", -3.0)]
    reference = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, 2, False))
    reference.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    reference.decoder = tokenizers.decoders.Metaspace()
    reference.add_special_tokens(["<pad>", "</s>"])
    reference.post_processor = tokenizers.processors.TemplateProcessing(
        "$A </s>", "$A </s> $B </s>", [("</s>", 1)]
    )
    return Tokenizer({"tokenizer.json": reference.to_str().encode()})


def prompts(rng, count, most=12):
    """Rows of ids of mixed length, none of them special."""
    return [
        rng.integers(3, SIZE, rng.integers(1, most + 1)).tolist() for _ in range(count)
    ]


def by_hand(model, prompt, count, ends=()):
    """Greedy search without a cache: all is read again for each token."""
    if not hasattr(model, "by_hand"):
        model.by_hand = tf.function(
            lambda inputs: model(inputs, training=False), reduce_retracing=True
        )
    written = []
    while len(written) < count:
        if model.assembly == "decoder":
            inputs = {"input_ids": tf.constant([[*prompt, *written]])}
        else:
            start = model.config.decoder_start_token_id
            inputs = {
                "input_ids": tf.constant([prompt]),
                "decoder_input_ids": tf.constant([[start, *written]]),
            }
        logits = model.by_hand(inputs)
        written.append(int(tf.argmax(logits[0, -1])))
        if written[-1] in ends:
            break
    return written


def reference_models(kinds):
    """The models of the reference, run as graphs: seconds and not a minute.

    Args:
        kinds: Name of a directory of fixtures -> class.
    """
    found = {name: kind.from_pretrained(GOLDEN / name) for name, kind in kinds.items()}
    for model in found.values():
        model._generator.jit_compile = False
    return found
