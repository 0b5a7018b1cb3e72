"""An LSTM language model: what a Transformer of the same size is compared with."""

from typing import NamedTuple

import keras
import tensorflow as tf

from zoo.generation import GenerationConfig
from zoo.generation.generator import Generator
from zoo.training import AdamW, CrossEntropy, WarmupDecay
from zoo.training.labels import IGNORED, causal_labels
from zoo.training.metrics import Perplexity

# Of 0.9 million weights, after a pass over 1.3 million tokens: 4.16 nats, and 5.10 at a
# fifth of this rate, a Transformer's. No other was tried.
LEARNING_RATE = 1e-2


def make_lstm(vocab_size, parameters, learning_rate, steps):
    """A language model of one LSTM layer, compiled for so many steps.

    Args:
        vocab_size: Tokens, V.
        parameters: How many it has at most; it has hardly fewer.
        learning_rate: Its peak, after a tenth of the steps; then it falls to zero.
    """

    def count(width):
        return vocab_size * (2 * width + 1) + 4 * width * (2 * width + 1)

    width = next(w for w in range(1, parameters) if count(w + 1) > parameters)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(vocab_size, width),
            layers.LSTM(width, return_sequences=True),
            layers.Dense(vocab_size),
        ]
    )
    schedule = WarmupDecay(
        learning_rate, "cosine", warmup_steps=steps // 10, total_steps=steps
    )
    optimizer = AdamW(schedule, weight_decay=0.01, global_clipnorm=1.0)
    metrics = [Perplexity()]
    model.compile(optimizer, CrossEntropy(), metrics=metrics, jit_compile=False)
    return model


def with_labels(batch, asked=None):
    """Ids, and the token that follows each place in its document, int32 `[B, T]`.

    Args:
        batch: `input_ids` and `document_ids`, of packed rows.
        asked: Which tokens are to be predicted, bool `[B, T]`; None: all.
    """
    ids, labels = batch["input_ids"], None
    if asked is not None:
        labels = tf.where(asked, ids, IGNORED)
    return ids, causal_labels(ids, labels, documents=batch["document_ids"])


class LSTMState(NamedTuple):
    """What the LSTM has read of each row: output and memory, float32 `[B, D]`."""

    output: tf.Tensor
    memory: tf.Tensor

    def of_rows(self, rows):
        """The state of other rows, int32 `[B']`."""
        return LSTMState(*(tf.gather(x, rows) for x in self))


class LSTMWriter:
    """Has a model of `make_lstm` write by the loop that zoo's own models write by.

    Args:
        model: As of `make_lstm`.
        tokenizer: zoo.Tokenizer.
    """

    prompt_name = "input_ids"

    def __init__(self, model, tokenizer):
        self.embedding, self.lstm, self.head = model.layers
        self.tokenizer = tokenizer
        self.spelling = tokenizer.spelling
        self._generator = Generator(self, vocab_size=tokenizer.vocab_size)

    def generate(self, prompts, **options):
        """What is written behind each of several texts; options as of `GPTModel`."""
        end = {"eos_token_id": self.tokenizer.eos_token_id}
        config = GenerationConfig.from_checkpoint(end, **options)
        rows = self.tokenizer(prompts, padding=None, truncation=None)["input_ids"]
        found = self._generator(rows.to_list(), config, decode=self._decode)
        return [group[0].text for group in found]

    def prefill(self, inputs, *, length, slack=0):
        ids, padding = inputs["input_ids"], inputs["padding"]
        state = LSTMState(*self.lstm.cell.get_initial_state(tf.shape(ids)[0]))

        def read(place, state):
            _, new = self._read(ids[:, place], state)
            valid = (place >= padding)[:, None]
            kept = (tf.where(valid, a, b) for a, b in zip(new, state, strict=True))
            return place + 1, LSTMState(*kept)

        count = tf.shape(ids)[1]
        _, state = tf.while_loop(
            lambda place, state: place < count, read, (tf.constant(0), state)
        )
        return self.head(state.output), state

    def advance(self, ids, state):
        found, state = self._read(ids[:, 0], state)
        return self.head(found)[:, None], state

    def check_prompts(self, rows):
        """None is too long."""

    def room_after(self, length):
        return 2**31 - 1

    def cache_bytes(self, length):
        """Of a row's state, which does not grow with its length."""
        return 2 * 4 * self.lstm.units

    def _read(self, ids, state):
        found, state = self.lstm.cell(self.embedding(ids), list(state))
        return found, LSTMState(*state)

    def _decode(self, rows):
        return self.tokenizer.decode(rows, skip_special_tokens=True)
