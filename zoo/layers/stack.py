"""A stack of blocks: what an encoder and a decoder are, but for their embeddings."""

import keras
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.layers.block import Block
from zoo.layers.dropout import Dropout
from zoo.layers.initializers import in_outline
from zoo.layers.masks import attention_bias, visible_keys
from zoo.layers.norms import Norm
from zoo.layers.positions import RelativeBias, alibi_bias, rotary_angles


@keras.saving.register_keras_serializable(package="zoo")
class Stack(keras.layers.Layer):
    """Blocks, the biases and angles that they share, and the norm at the end.

    Args:
        config: TransformerConfig, or the dictionary of one.
        depth: Number of blocks applied; None: `config.num_hidden_layers`.
        causal: Whether a token sees only those before it.
        cross: Whether the blocks attend to an encoder as well.
    """

    def __init__(self, config, *, depth=None, causal=False, cross=False, **kwargs):
        super().__init__(autocast=False, **kwargs)  # biases and angles stay float32
        self.config = config = TransformerConfig.of(config)
        self.depth = depth or config.num_hidden_layers
        self.causal = causal
        self.cross = cross
        options = {"dtype": self.dtype_policy}
        groups = config.num_hidden_groups or self.depth
        tables = 0
        if config.position == "relative":
            tables = 1 if config.relative_attention_shared else groups
        # How many of each there are, even where an outline makes but one.
        self.counts = {"blocks": groups, "relative_biases": tables}
        self.blocks = [
            Block(config, cross=cross, name=f"blocks_{i}", **options)
            for i in range(self._made("blocks"))
        ]
        self.relative_biases = [
            RelativeBias(
                config.num_attention_heads,
                buckets=config.relative_attention_num_buckets,
                max_distance=config.relative_attention_max_distance,
                bidirectional=not causal,
                stddev=config.initializer_range,
                name=f"relative_bias_{i}",
                **options,
            )
            for i in range(self._made("relative_biases"))
        ]
        self.final_norm = None
        if config.final_norm:
            self.final_norm = Norm.of(config, name="final_norm", **options)
        self.dropout = Dropout(config.final_dropout_prob, **options)

    def _made(self, name):
        return min(self.counts[name], 1) if in_outline() else self.counts[name]

    def _group(self, layer):
        """Which block a layer applies: those of one group follow one another."""
        return layer * len(self.blocks) // self.depth

    def build(self, input_shape=None):
        if self.built:
            return
        shape = (None, None, self.config.hidden_size)
        for layer in (*self.blocks, *self.relative_biases, self.final_norm):
            if layer is not None:
                layer.build(shape)
        self.built = True

    def call(
        self,
        x,
        attention_mask=None,
        position_ids=None,
        states=None,
        states_mask=None,
        first=None,
        training=None,
        every_state=False,
    ):
        """Runs the blocks.

        Args:
            x: `[B, T, D]`.
            attention_mask: `[B, T]`, non-zero at valid tokens, or None.
            position_ids: int32 `[B, T]` or `[T]`, for rotary and ALiBi positions.
            states: An encoder's output `[B, S, D]`, for cross-attention.
            states_mask: `[B, S]`, non-zero where `states` are valid, or None.
            first: Give the outputs of the first so many tokens alone, and spare the
                last block the others: a classifier reads the first one only.
            every_state: Whether to return the input and each block's output as well.

        Returns:
            `[B, T, D]`, or `[B, first, D]`; or with `every_state` a list of depth + 1
            such tensors, the last one after the final norm, as in the reference.
        """
        if position_ids is not None and position_ids.shape.rank == 1:
            position_ids = position_ids[None]
        angles = None
        if self.config.position == "rotary":
            angles = rotary_angles(self.config, position_ids)
        biases = self._biases(tf.shape(x)[1], attention_mask, position_ids)
        states_bias = None if states is None else attention_bias(None, states_mask)
        every = []
        for index in range(self.depth):
            every.append(x)
            x = self.blocks[self._group(index)](
                x,
                bias=biases[index],
                angles=angles,
                states=states,
                states_bias=states_bias,
                first=first if index == self.depth - 1 else None,
                training=training,
            )
        if self.final_norm is not None:
            x = self.final_norm(x)
        x = self.dropout(x, training=training)
        return [*every, x] if every_state else x

    def _biases(self, length, mask, position_ids):
        """AttentionBias of each layer; layers of one kind share one tensor."""
        index = tf.range(length)
        made = {}
        biases = []
        for layer in range(self.depth):
            window = self.config.window(layer)
            table = min(self._group(layer), len(self.relative_biases) - 1)
            if (window, table) not in made:
                made[window, table] = self._bias(
                    index, window, table, mask, position_ids
                )
            biases.append(made[window, table])
        return biases

    def _bias(self, index, window, table, mask, position_ids):
        pattern = visible_keys(index, index, causal=self.causal, window=window)
        bias = attention_bias(pattern, mask)
        if table >= 0:
            relative = self.relative_biases[table](index, index)
            bias = bias.plus(tf.cast(relative, tf.float32))
        if self.config.position == "alibi":
            heads = self.config.num_attention_heads
            bias = bias.plus(alibi_bias(heads, position_ids, position_ids))
        return bias

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "config": self.config.to_dict(),
            "depth": self.depth,
            "causal": self.causal,
            "cross": self.cross,
        }
