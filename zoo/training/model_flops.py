"""Model FLOPs: the floating-point operations that a training step cannot do without.

The count of Chowdhery et al. 2022 (PaLM, arXiv:2204.02311, appendix B): a token takes
`6 N + 12 L H d T` operations, N being the parameters of matrices that it is multiplied
by, and T the length of its sequence. A product with a matrix takes 2 operations for
each parameter, and its two gradients 2 each; queries times keys and weights times
values take `4 H d T` in each layer, and twice as many for their gradients. As there, a
causal mask takes nothing off, and what is recomputed to save memory adds nothing.

Three things are counted here that the paper had no need for. Tokens of padding need no
operations. A vocabulary head is only needed for tokens that are to be predicted. Of a
matrix that is not trained there is no gradient.
"""

from collections import Counter
from dataclasses import dataclass

import tensorflow as tf

from zoo.config import TransformerConfig


@dataclass(frozen=True)
class ModelFlops:
    """Counts the operations of a training step of a model.

    Attributes:
        config: TransformerConfig.
        assembly: "encoder", "decoder" or "encoder_decoder".
        vocabulary: Whether a head gives each token scores of the whole vocabulary.
            Other heads, and poolers, work on one vector a text, and are left out.
        trained: Share of the parameters of matrices that is trained; below 1 with
            frozen weights or LoRA, whose own small products are left out.
    """

    config: TransformerConfig
    assembly: str
    vocabulary: bool = False
    trained: float = 1.0

    def __call__(self, lengths, *, sources=None, predicted=0.0):
        """Operations of a step, a float64 scalar.

        Args:
            lengths: Valid tokens of each sequence, `[N]`; of an encoder-decoder, those
                of the decoder's.
            sources: Those of the encoder's sequences, `[N]`, for an encoder-decoder.
            predicted: How many tokens have a label.
        """
        config = self.config
        lengths = tf.cast(lengths, tf.float64)
        tokens, weights, scores = tf.reduce_sum(lengths), 0.0, 0.0
        if self.assembly == "encoder_decoder":
            sources = tf.cast(sources, tf.float64)
            depth = config.num_decoder_layers
            weights, scores = self._stack(sources, config.num_hidden_layers)
            query, pair = self._sizes()
            keys = 2 * config.hidden_size * config.num_key_value_heads * config.head_dim
            source_tokens = tf.reduce_sum(sources)
            weights += 2.0 * depth * (2 * query * tokens + keys * source_tokens)
            scores += depth * pair * tf.reduce_sum(lengths * sources)
            tokens_in = tokens + source_tokens
        else:
            depth, tokens_in = config.num_hidden_layers, tokens
        own_weights, own_scores = self._stack(lengths, depth)
        weights, scores = weights + own_weights, scores + own_scores
        if config.embedding_size != config.hidden_size:
            weights += 2.0 * config.embedding_size * config.hidden_size * tokens_in
        if self.vocabulary:
            weights += 2.0 * self._head() * tf.cast(predicted, tf.float64)
        return (2 + self.trained) * weights + 3 * scores

    def _sizes(self):
        """Parameters of the product that makes queries; operations of a pair."""
        width = self.config.num_attention_heads * self.config.head_dim
        return self.config.hidden_size * width, 4.0 * width

    def _stack(self, lengths, depth):
        """Forward operations of so many layers: products with weights, and scores."""
        config = self.config
        query, pair = self._sizes()
        keys = 2 * config.hidden_size * config.num_key_value_heads * config.head_dim
        gated = config.feedforward == "gated"
        inner = (3 if gated else 2) * config.hidden_size * config.intermediate_size
        weights = 2.0 * depth * (2 * query + keys + inner) * tf.reduce_sum(lengths)
        scores = 0.0
        for window, layers in Counter(map(config.window, range(depth))).items():
            seen = lengths if window is None else tf.minimum(lengths, float(window))
            scores += layers * pair * tf.reduce_sum(lengths * seen)
        return weights, scores

    def _head(self):
        config = self.config
        if self.assembly == "encoder":  # BERT's, with a layer before the table
            width = config.embedding_size
            return config.hidden_size * width + width * config.vocab_size
        return config.hidden_size * config.vocab_size


def sequence_lengths(valid, documents=None, *, width=None):
    """Valid tokens of each sequence, float64: `[B]`, or `[B * width]` of documents.

    Args:
        valid: `[B, T]`, non-zero at valid tokens.
        documents: int `[B, T]`: the document of each token where a row has several,
            each a sequence of its own, numbered from 1; 0 in padding. Or None.
        width: Larger than any number of a document; None: `T + 1`.
    """
    valid = tf.cast(tf.not_equal(valid, tf.zeros([], valid.dtype)), tf.float64)
    if documents is None:
        return tf.reduce_sum(valid, -1)
    shape = tf.shape(documents)
    width = shape[1] + 1 if width is None else width
    valid = tf.where(documents > 0, valid, 0.0)
    places = tf.range(shape[0])[:, None] * width
    places += tf.clip_by_value(tf.cast(documents, tf.int32), 0, width - 1)
    return tf.math.unsorted_segment_sum(
        tf.reshape(valid, [-1]), tf.reshape(places, [-1]), shape[0] * width
    )
