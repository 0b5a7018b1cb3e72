"""A stack of blocks: what an encoder and a decoder are, but for their embeddings."""

import functools
import itertools

import keras
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.layers.block import Block
from zoo.layers.blockwise import BlockBias, in_blocks
from zoo.layers.cache import Cache, Memory, most, size_of
from zoo.layers.checkpointing import recomputed
from zoo.layers.dropout import Dropout
from zoo.layers.initializers import in_outline
from zoo.layers.masks import Order, attention_bias, visible_keys
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

    Attributes:
        gradient_checkpointing: Whether training keeps the inputs of blocks alone, and
            computes each block once more for its gradient.
    """

    gradient_checkpointing = False

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

    def _block(self, layer):
        return self.blocks[self._group(layer)]

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
        documents=None,
        states_documents=None,
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
            documents: Which of the documents packed into a row each token belongs to,
                int32 `[B, T]`, 0 in padding; None: a row is one document.
            states_documents: The same of `states`, int32 `[B, S]`.
            first: Give the outputs of the first so many tokens alone, and spare the
                last block the others: a classifier reads the first one only.
            every_state: Whether to return the input and each block's output as well.

        Returns:
            `[B, T, D]`, or `[B, first, D]`; or with `every_state` a list of depth + 1
            such tensors, the last one after the final norm, as in the reference.
        """
        if position_ids is not None and position_ids.shape.rank == 1:
            position_ids = position_ids[None]
        attention_mask, states_mask, documents, states_documents, position_ids = (
            None if given is None else tf.convert_to_tensor(given)
            for given in (
                attention_mask,
                states_mask,
                documents,
                states_documents,
                position_ids,
            )
        )
        index = tf.range(tf.shape(x)[1])
        order = Order(
            index,
            index,
            position_ids,
            position_ids,
            attention_mask,
            None if documents is None else (documents, documents),
        )
        across = None
        if states is not None:
            across = Order(
                index,
                tf.range(tf.shape(states)[1]),
                None,
                None,
                states_mask,
                None if states_documents is None else (documents, states_documents),
            )

        def run(blocks):
            return self._run(
                x,
                functools.partial(self._bias, order, blocks=blocks),
                position_ids,
                states=[states] * self.depth,
                states_bias=(
                    None
                    if across is None
                    else biased(across, bias_across, blocks=blocks)
                ),
                first=first,
                training=training,
            )

        blocks = self._in_blocks(x, states)
        if isinstance(blocks, bool):
            every = run(blocks)
        else:
            every = tf.cond(blocks, lambda: run(True), lambda: run(False))
        return every if every_state else every[-1]

    def _in_blocks(self, x, states):
        """Whether attention goes by blocks; a tensor where the lengths will tell.

        Where they are not known, inputs are taken to be no longer than the model is
        made for: a graph that can do both is built only where that may be long.
        """
        queries = keys = size_of(x, 1)
        if states is not None:
            keys = most(queries, size_of(states, 1))
        limit = self.config.max_position_embeddings
        if isinstance(keys, int) or in_blocks(limit, limit, causal=self.causal):
            return in_blocks(queries, keys, causal=self.causal)
        return False

    def prefill(
        self,
        x,
        position_ids,
        padding,
        *,
        length,
        slack=0,
        states=None,
        states_mask=None,
    ):
        """The first pass over tokens that others will follow.

        Args:
            x: `[B, T, D]`, padded on the left.
            position_ids: int32 `[B, T]`.
            padding: How many tokens of each row are padding, int32 `[B]`.
            length: Tokens that the cache shall have room for, padding included.
            slack: Tokens that one later pass may bring besides the first.
            states: An encoder's output `[B, S, D]`, for cross-attention.
            states_mask: `[B, S]`, non-zero where `states` are valid, or None.

        Returns:
            `[B, T, D]`, and a Cache.
        """
        across = ()
        if states is not None:
            across = tuple(
                self._block(layer).cross_attention.keys_and_values(states)
                for layer in range(self.depth)
            )
        memories = [
            Memory(length=length, window=self.config.window(layer), slack=slack)
            for layer in range(self.depth)
        ]
        cache = Cache(
            layers=(),
            across=across,
            across_mask=() if states_mask is None else states_mask,
            padding=padding,
            place=tf.constant(0),
        )
        return self._run_cached(x, position_ids, cache, memories)

    def advance(self, x, position_ids, cache, *, alternatives=False):
        """A pass over the next tokens.

        Args:
            x: `[B, T, D]`, T known when traced.
            position_ids: int32 `[B, T]`, or `[B, 1]` of alternatives.
            cache: What the pass before returned.
            alternatives: Whether the tokens are T alternatives for the next place, none
                of which sees another. `Cache.with_choice` keeps one of them.

        Returns:
            `[B, T, D]`, and the Cache for the pass after.
        """
        memories = [
            Memory(
                window=self.config.window(layer),
                written=cache.layers[layer],
                place=cache.place,
            )
            for layer in range(self.depth)
        ]
        return self._run_cached(x, position_ids, cache, memories, alternatives)

    def _run_cached(self, x, position_ids, cache, memories, alternatives=False):
        count = size_of(x, 1)
        written = cache.place + tf.range(count)

        def bias(window, table):
            keys = next(m for m in memories if m.window == window).key_index(count)
            mask = keys[None] >= cache.padding[:, None]
            queries, visible = written, None
            if alternatives:  # they are written one behind another
                visible = keys < cache.place
                visible = visible[None] | (keys[None] == written[:, None])
                queries = tf.fill([count], cache.place)
                keys = tf.minimum(keys, cache.place)
            order = Order(
                queries, keys, queries[None], keys[None], mask, visible=visible
            )
            if not cache.layers:
                blocks = isinstance(count, int) and in_blocks(count, count, causal=True)
                return self._bias(order, window, table, blocks=blocks)
            # After the first pass there is no padding among the queries.
            return self._bias(order, window, table)._replace(seen=None)

        across_mask = cache.across_mask if tf.is_tensor(cache.across_mask) else None
        x = self._run(
            x,
            bias,
            position_ids,
            states=cache.across or [None] * self.depth,
            states_bias=attention_bias(None, across_mask) if cache.across else None,
            memories=memories,
            training=False,
        )[-1]
        layers = tuple(memory.written for memory in memories)
        return x, cache._replace(layers=layers, place=cache.place + count)

    def _run(
        self,
        x,
        bias,
        position_ids,
        *,
        states,
        states_bias,
        first=None,
        memories=None,
        training=None,
    ):
        """The input, each block's output, and the last one after the norm."""
        angles = None
        if self.config.position == "rotary":
            angles = rotary_angles(self.config, position_ids)
        biases: dict = {}  # layers of one kind share one tensor
        every = []
        for layer in range(self.depth):
            every.append(x)
            window = self.config.window(layer)
            table = min(self._group(layer), len(self.relative_biases) - 1)
            if (window, table) not in biases:
                biases[window, table] = bias(window, table)
            run = functools.partial(
                self._block(layer),
                angles=angles,
                first=first if layer == self.depth - 1 else None,
                memory=memories[layer] if memories else None,
                training=training,
            )
            if self.gradient_checkpointing and training:
                run = recomputed_block(run)
            x = run(
                x,
                bias=biases[window, table],
                states=states[layer],
                states_bias=states_bias,
            )
        if self.final_norm is not None:
            x = self.final_norm(x)
        return [*every, self.dropout(x, training=training)]

    def _bias(self, order, window, table, *, blocks=False):
        """The bias of the layers with this window and this relative bias."""

        def make(order, *learnt):
            queries, keys = order.queries, order.keys
            pattern = visible_keys(queries, keys, causal=self.causal, window=window)
            if order.visible is not None:
                pattern &= order.visible
            bias = attention_bias(pattern, order.mask, documents=order.documents)
            if table >= 0:
                relative = self.relative_biases[table](queries, keys, *learnt)
                bias = bias.plus(tf.cast(relative, tf.float32))
            if self.config.position == "alibi":
                places = order.query_positions, order.key_positions
                bias = bias.plus(alibi_bias(self.config.num_attention_heads, *places))
            return bias

        learnt = ()
        if blocks and table >= 0:
            learnt = (tf.convert_to_tensor(self.relative_biases[table].weight),)
        options = {"learnt": learnt, "causal": self.causal, "window": window}
        return biased(order, make, blocks=blocks, **options)

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


def biased(order, make, *, blocks, **options):
    """`make(order)`, or a BlockBias that makes it block by block."""
    return BlockBias(order, make, **options) if blocks else make(order)


def bias_across(order):
    """AttentionBias over an encoder's states."""
    return attention_bias(None, order.mask, documents=order.documents)


def recomputed_block(run):
    """A block that keeps nothing for its gradient but what it is given."""

    def call(x, *, bias, states, states_bias):
        biases = [b for b in (bias, states_bias) if b is not None]
        counts = [len(b.tensors) for b in biases]

        def compute(x, states, *tensors):
            parts = iter(tensors)
            own, *across = (
                b.with_tensors(itertools.islice(parts, count))
                for b, count in zip(biases, counts, strict=True)
            )
            across = across[0] if across else None
            return run(x, bias=own, states=states, states_bias=across)

        given = itertools.chain.from_iterable(b.tensors for b in biases)
        return recomputed(compute)(x, states, *given)

    return call
