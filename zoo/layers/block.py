"""A Transformer block: attention and feed-forward around one residual stream."""

import keras

from zoo.config import TransformerConfig
from zoo.layers.attention import Attention
from zoo.layers.dropout import Dropout
from zoo.layers.feedforward import FeedForward
from zoo.layers.norms import Norm
from zoo.layers.precision import finite


@keras.saving.register_keras_serializable(package="zoo")
class Block(keras.layers.Layer):
    """One layer of a stack; `config.norm_place` says where its norms stand.

    "pre": `x + f(norm(x))`; "post": `norm(x + f(x))`; "sandwich":
    `x + norm(f(norm(x)))`; "parallel": `x + attention(norm(x)) + feedforward(norm(x))`.

    Args:
        config: TransformerConfig, or the dictionary of one.
        cross: Whether attention to an encoder stands between the two.
    """

    def __init__(self, config, *, cross=False, **kwargs):
        super().__init__(autocast=False, **kwargs)  # biases and angles stay float32
        self.config = config = TransformerConfig.of(config)
        self.cross = cross
        self.place = config.norm_place
        options = {"dtype": self.dtype_policy}
        self.attention = Attention(config, name="attention", **options)
        self.feedforward = FeedForward(config, name="feedforward", **options)
        self.attention_norm = Norm.of(config, name="attention_norm", **options)
        self.cross_attention = self.cross_attention_norm = None
        self.feedforward_norm = None
        self.attention_post_norm = self.feedforward_post_norm = None
        if cross:
            self.cross_attention = Attention(
                config, cross=True, name="cross_attention", **options
            )
            self.cross_attention_norm = Norm.of(
                config, name="cross_attention_norm", **options
            )
        if self.place != "parallel":
            self.feedforward_norm = Norm.of(config, name="feedforward_norm", **options)
        if self.place == "sandwich":
            self.attention_post_norm = Norm.of(
                config, name="attention_post_norm", **options
            )
            self.feedforward_post_norm = Norm.of(
                config, name="feedforward_post_norm", **options
            )
        self.dropout = Dropout(config.hidden_dropout_prob, **options)

    def build(self, input_shape=None):
        if self.built:
            return
        shape = (None, None, self.config.hidden_size)
        for layer in self._flatten_layers(include_self=False, recursive=False):
            layer.build(shape)
        self.built = True

    def call(
        self,
        x,
        bias=None,
        angles=None,
        states=None,
        states_bias=None,
        first=None,
        memory=None,
        training=None,
    ):
        """One step along the residual stream.

        Args:
            x: `[B, T, D]`.
            bias: AttentionBias of the self-attention.
            angles: Rotary angles, or None.
            states: An encoder's output `[B, S, D]` for cross-attention, or its keys
                and values.
            states_bias: AttentionBias over `states`.
            first: Compute the outputs of the first so many tokens alone; None: of all.
            memory: Memory of the self-attention, or None.

        Returns:
            `[B, T, D]`, or `[B, first, D]`.
        """
        kept = x if first is None else x[:, :first]

        def attend(y):
            return self.attention(
                y,
                bias=bias,
                angles=angles,
                first=first,
                memory=memory,
                training=training,
            )

        def attend_across(y):
            return self.cross_attention(
                y, bias=states_bias, states=states, training=training
            )

        def feed(y):
            return self.feedforward(y, training=training)

        if self.place == "parallel":
            y = self.attention_norm(x)
            near = y if first is None else y[:, :first]
            changes = attend(y), feed(near)
            return finite(kept + sum(self._drop(z, training) for z in changes))
        norm, post = self.attention_norm, self.attention_post_norm
        x = self._residual(x, attend, norm, post, training, kept)
        if self.cross:
            x = self._residual(
                x, attend_across, self.cross_attention_norm, None, training
            )
        norm, post = self.feedforward_norm, self.feedforward_post_norm
        return self._residual(x, feed, norm, post, training)

    def _residual(self, x, sublayer, norm, post_norm, training, kept=None):
        """`kept`, by default `x`, and what the sub-layer makes of `x`."""
        kept = x if kept is None else kept
        if self.place == "post":
            return norm(finite(kept + self._drop(sublayer(x), training)))
        y = sublayer(norm(x))
        if post_norm is not None:
            y = post_norm(finite(y))
        return finite(kept + self._drop(y, training))

    def _drop(self, x, training):
        return self.dropout(x, training=training)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        config = self.config.to_dict()
        return {**super().get_config(), "config": config, "cross": self.cross}
