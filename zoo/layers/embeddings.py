"""From ids to vectors: token, position and token-type tables, norm and projection."""

import keras
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.errors import InputError
from zoo.layers.dropout import Dropout
from zoo.layers.initializers import Normal
from zoo.layers.linear import Linear
from zoo.layers.norms import Norm
from zoo.layers.positions import sinusoids


@keras.saving.register_keras_serializable(package="zoo")
class Embedding(keras.layers.Layer):
    """A table of vectors `[rows, width]`; call it with int ids of any shape.

    On a CPU an id outside the table raises; on an accelerator it gives zeros.
    """

    def __init__(self, rows, width, *, stddev=0.02, **kwargs):
        super().__init__(autocast=False, **kwargs)  # a row is cast, not the table
        self.rows = rows
        self.width = width
        self.stddev = stddev

    def build(self, input_shape=None):
        if self.built:
            return
        self.weight = self.add_weight(
            name="weight",
            shape=(self.rows, self.width),
            initializer=Normal(self.stddev),
        )
        self.built = True

    def call(self, ids):
        # A tensor, for `tf.gather` of a variable would have TensorFlow copy the table
        # at every later read, such as that of a tied head.
        table = tf.convert_to_tensor(self.weight)
        return tf.cast(tf.gather(table, ids), self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "rows": self.rows,
            "width": self.width,
            "stddev": self.stddev,
        }


@keras.saving.register_keras_serializable(package="zoo")
class Embeddings(keras.layers.Layer):
    """What comes into a stack, from what `config.inputs` names.

    Args:
        config: TransformerConfig, or the dictionary of one.
    """

    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.config = config = TransformerConfig.of(config)
        width, options = config.embedding_size, {"dtype": self.dtype_policy}
        self.tokens = self._table(
            config.vocab_size, "tokens", config.embedding_initializer_range
        )
        self.positions = self.token_types = self.norm = self.projection = None
        if config.position == "learned":
            self.positions = self._table(config.max_position_embeddings, "positions")
        if config.type_vocab_size:
            self.token_types = self._table(config.type_vocab_size, "token_types")
        if config.embedding_norm:
            self.norm = Norm.of(config, name="norm", **options)
        if width != config.hidden_size:
            self.projection = Linear.of(
                config, config.hidden_size, name="projection", **options
            )
        self.dropout = Dropout(config.embedding_dropout_prob, **options)

    def _table(self, rows, name, stddev=None):
        return Embedding(
            rows,
            self.config.embedding_size,
            stddev=stddev or self.config.initializer_range,
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, input_shape=None):
        if self.built:
            return
        shape = (None, None, self.config.embedding_size)
        for layer in self._flatten_layers(include_self=False, recursive=False):
            layer.build(shape)
        self.built = True

    def call(self, input_ids, position_ids, token_type_ids=None, training=None):
        """Sums the tables.

        Args:
            input_ids: int32 `[B, T]`.
            position_ids: int32 `[B, T]`, or `[T]` where all rows count alike.
            token_type_ids: int32 `[B, T]`, or None for type 0 everywhere.

        Returns:
            `[B, T, D]` in the compute dtype.
        """
        x = self.tokens(input_ids)
        if self.config.embedding_scale != 1.0:
            x *= tf.cast(self.config.embedding_scale, x.dtype)
        if self.token_types is not None:
            kinds = tf.constant(0) if token_type_ids is None else token_type_ids
            x += self.token_types(kinds)
        elif token_type_ids is not None:
            raise InputError(
                "token_type_ids were given, but this model has no token types "
                "(type_vocab_size=0). Leave them out."
            )
        if self.config.position in ("learned", "sinusoidal"):
            x += self._position_vectors(position_ids)
        if self.norm is not None:
            x = self.norm(x)
        x = self.dropout(x, training=training)
        return x if self.projection is None else self.projection(x)

    def _position_vectors(self, position_ids):
        if self.positions is not None:
            return self.positions(position_ids)
        config = self.config
        table = sinusoids(config.max_position_embeddings, config.embedding_size)
        return tf.cast(tf.gather(table, position_ids), self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "config": self.config.to_dict()}
