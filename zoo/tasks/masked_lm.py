"""MaskedLM: which tokens could stand at the masks of a text."""

import keras
import numpy as np
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.errors import InputError
from zoo.layers.feedforward import activation
from zoo.layers.linear import Linear, multiply
from zoo.layers.norms import Norm
from zoo.tasks.examples import forms, token_labels
from zoo.tasks.examples.sets import texts_of
from zoo.tasks.task import Task
from zoo.training.chunked_cross_entropy import Head
from zoo.training.labels import IGNORED
from zoo.training.losses import CrossEntropy
from zoo.training.metrics import TokenAccuracy


@keras.saving.register_keras_serializable(package="zoo")
class OutputBias(keras.layers.Layer):
    """A bias for each token of the vocabulary, where the token table is the head."""

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def build(self, input_shape=None):
        if self.built:
            return
        self.bias = self.add_weight(
            name="bias", shape=(self.size,), initializer="zeros"
        )
        self.built = True

    def call(self, x):
        return x + tf.cast(self.bias, x.dtype)

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package="zoo")
class MaskedLM(Task):
    """An encoder with BERT's language-model head (Devlin et al. 2018).

    Calling it with token ids gives logits `[B, T, V]`.

    `fit` and `evaluate` take token ids in which some are masked already, and what stood
    there: `{"input_ids": ..., "attention_mask": ..., "labels": ...}`, all `[N, T]`, or
    the labels as `y`; -100 is the label of a token that does not count.

    Args:
        config: TransformerConfig; `tie_word_embeddings` says whether the token table is
            the head.
        tokenizer, max_length, dtype: As of `Task`.
    """

    task_name = "fill-mask"
    architecture = "masked_lm"
    scores_vocabulary = True

    def __init__(self, config, **kwargs):
        super().__init__(self.adapt_config(TransformerConfig.of(config)), **kwargs)
        config, options = self.config, {"dtype": self.dtype_policy}
        self.activation = activation(config.hidden_act)
        self.transform = Linear(
            config.embedding_size,
            stddev=config.initializer_range,
            name="transform",
            **options,
        )
        self.transform_norm = Norm.of(config, name="transform_norm", **options)
        if config.tie_word_embeddings:
            self.lm_head = OutputBias(config.vocab_size, name="lm_head", **options)
        else:
            self.lm_head = Linear(
                config.vocab_size,
                stddev=config.initializer_range,
                name="lm_head",
                **options,
            )
        self._compiled_fill = None
        self.build()

    @classmethod
    def adapt_config(cls, config):
        return config.replace(pooler=False)

    @property
    def heads(self):
        return ("masked_lm",)

    def build_head(self):
        width = self.config.embedding_size
        self.transform.build((None, None, self.config.hidden_size))
        self.transform_norm.build((None, None, width))
        self.lm_head.build((None, None, width))

    def head(self, states, inputs, training=None):
        return self.logits(states)

    def logits(self, states):
        """Scores `[..., V]` of every token, from last hidden states `[..., D]`."""
        x = self._transformed(states)
        if self.config.tie_word_embeddings:
            table = self.backbone.embeddings.tokens.weight
            x = multiply(x, tf.cast(table, x.dtype))
        return self.lm_head(x)

    def _transformed(self, states):
        return self.transform_norm(self.activation(self.transform(states)))

    def states_and_head(self, inputs, training):
        if self.config.tie_word_embeddings:
            weight = tf.convert_to_tensor(self.backbone.embeddings.tokens.weight)
        elif (weight := self.lm_head.whole_weight()) is None:
            return None
        states = self.backbone.run(self.read_inputs(inputs), training=training)
        bias = tf.convert_to_tensor(self.lm_head.bias)
        return self._transformed(states), Head(weight, bias)

    def default_loss(self):
        return CrossEntropy()

    def default_metrics(self):
        return [TokenAccuracy()]

    def _read(self, x, labels=None, weights=None, *, needs_labels=False):
        if not needs_labels:
            return super()._read(x, labels, weights)
        x, labels = token_labels.apart(x, labels)
        if isinstance(x, tf.data.Dataset):
            found = super()._read(x, labels, weights, needs_labels=True)
        else:
            found = super()._read(x)
        if found.textual:
            raise InputError(
                "MaskedLM learns from token ids, in which some are masked, and the "
                "ids that stood there. Make them from the texts: ids = "
                "model.tokenizer(texts), put tokenizer.mask_token_id at some places, "
                f"and pass {{**ids, 'labels': ...}}, [N, T], with {IGNORED} at all "
                "others."
            )
        if isinstance(found, forms.Stream):
            token_labels.check_dataset(found.dataset)
            return found
        shape = found.inputs["input_ids"].shape
        labels = token_labels.read(
            labels, shape, self.config.vocab_size, what="token ids"
        )
        weights = token_labels.read_weights(weights, shape[0])
        return forms.Memory(found.inputs, False, labels, weights)

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Logits `[N, T, V]` for token ids; for texts there is `fill_mask`."""
        if self._read(x).textual:
            raise InputError(
                "MaskedLM.predict takes token ids: logits of whole texts differ in "
                "length and are large. Use fill_mask(texts)."
            )
        return super().predict(x, batch_size, verbose, steps, callbacks)

    def fill_mask(self, texts, *, top_k=5, batch_size=None):
        """The likeliest tokens at each mask.

        Args:
            texts: One text or a list of texts, each with the tokenizer's mask token
                ("[MASK]") at least once.
            top_k: How many tokens to give for a mask.
            batch_size: Texts at a time; None: 32.

        Returns:
            For a text with one mask, a list of `top_k` dictionaries, likeliest first:
            `score` (probability), `token` (id), `token_str`, and `sequence`, the text
            with it filled in. For a text with several masks, a list of such lists;
            there `sequence` leaves the other masks as they are. For a list of texts, a
            list of these.

        Raises:
            InputError: if a text has no mask, or only beyond `max_length`.
        """
        single = forms.is_one_text(texts)
        if isinstance(texts, list | tuple) and not texts:
            return []
        given = forms.read([texts] if single else texts)
        if not isinstance(given, forms.Memory) or set(given.inputs) != {"text"}:
            raise InputError("fill_mask takes one text or a list of texts.")
        texts = list(given.inputs["text"].numpy())
        forms.check_top_k(top_k)
        top_k = min(top_k, self.config.vocab_size)
        batch_size = self._batching(batch_size).batch_size
        if self.tokenizer.mask_token_id is None:
            raise InputError("this model's tokenizer has no mask token.")
        found = []
        for start in range(0, len(texts), batch_size):
            found += self._fill_batch(texts[start : start + batch_size], start, top_k)
        return found[0] if single else found

    def respond(self, inputs, *, batch_size=None, top_k=5):
        """As `fill_mask`, for a list."""
        return self.fill_mask(texts_of(inputs), top_k=top_k, batch_size=batch_size)

    def _fill_batch(self, texts, first, top_k):
        inputs = self.tokenizer(texts, max_length=self.max_length)
        inputs = {name: x for name, x in inputs.items() if name in self._inputs()}
        ids = inputs["input_ids"].numpy()
        masked = ids == self.tokenizer.mask_token_id
        for row in np.flatnonzero(~masked.any(1)):
            self._refuse(texts[row], first + row)
        places = np.argwhere(masked).astype(np.int32)
        if self._compiled_fill is None:
            self._compiled_fill = tf.function(
                self._fill_places, autograph=False, reduce_retracing=True
            )
        scores, tokens = self._compiled_fill(inputs, places, tf.constant(top_k))
        valid = inputs["attention_mask"].numpy().astype(bool)
        answers = [[] for _ in texts]
        rows = zip(places, scores.numpy(), tokens.numpy(), strict=True)
        for (row, column), row_scores, row_tokens in rows:
            line = ids[row][valid[row]]
            at = int(valid[row][:column].sum())
            answers[row].append(
                [
                    self._filled(line, at, int(token), float(score))
                    for score, token in zip(row_scores, row_tokens, strict=True)
                ]
            )
        return [masks[0] if len(masks) == 1 else masks for masks in answers]

    def _fill_places(self, inputs, places, top_k):
        states = self.backbone(inputs, training=False)
        logits = self.logits(tf.gather_nd(states, places))  # only where it is asked for
        return tf.math.top_k(tf.nn.softmax(tf.cast(logits, tf.float32)), top_k)

    def _filled(self, ids, at, token, score):
        line = ids.copy()
        line[at] = token
        hidden = {self.tokenizer.token_to_id(t) for t in self.tokenizer.special_tokens}
        hidden -= {self.tokenizer.mask_token_id, token}
        line = [int(i) for i in line if i not in hidden]
        return {
            "score": score,
            "token": token,
            "token_str": self.tokenizer.decode([token]),
            "sequence": self.tokenizer.decode(line),
        }

    def _inputs(self):
        return (*self.padding(), "attention_mask")

    def _refuse(self, text, row):
        mask = self.tokenizer.mask_token
        text = text.decode("utf-8", "replace")
        problem = f"has no {mask}"
        if mask in text:
            problem = f"has {mask} only beyond its first {self.max_length} tokens"
        raise InputError(
            f"text {row} {problem}: {text[:80]!r}. Put {mask} where a token is sought."
        )
