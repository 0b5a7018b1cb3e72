"""From text to pieces: added tokens, normaliser, words, model, in this order."""

import tensorflow as tf

from zoo.tokenizers import rows, splitting
from zoo.tokenizers.added_tokens import AddedTokenSplitter
from zoo.tokenizers.post_processing import Pieces


class Pipeline(tf.Module):
    """Text to ids, without the special tokens around it.

    Args:
        model: Words `[N]` to ids, ragged int32 `[N, (pieces)]`.
        words: Texts `[N]` to words, ragged `[N, (words)]`.
        added: Added tokens.
        normalize: Texts `[N]` to texts `[N]`, or None.
    """

    def __init__(self, model, words, added=(), normalize=None):
        super().__init__(name="pipeline")
        self._model = model
        self._words = words
        self._normalize = normalize
        self._raw = AddedTokenSplitter([t for t in added if not t.normalized])
        late = [t for t in added if t.normalized]
        self._late = AddedTokenSplitter(_normalized(late, normalize)) if late else None

    def __call__(self, texts):
        """Strings `[B]`, of any bytes, to `Pieces`."""
        texts = splitting.repair(texts)
        segments, added = self._raw(texts)
        begins = rows.firsts(segments.row_splits)
        flat = segments.values
        if self._normalize is not None:
            flat = tf.where(added.values < 0, flat, "")
            flat = self._normalize(flat)
        if self._late is not None:
            inner, found = self._late(flat)
            segments, added = (
                rows.joined(segments.row_splits, inner),
                _merged(segments, added, found),
            )
            flat = inner.values
            begins = rows.firsts(segments.row_splits)
        ids = self._encode(tf.where(added.values < 0, flat, ""), begins)
        ids = _with_added(ids, added.values)
        return Pieces(rows.joined(segments.row_splits, ids))

    def _encode(self, texts, begins):
        words = self._words(texts, begins)
        unique, index = tf.unique(words.values)
        ids = tf.gather(self._model(unique), index)
        return rows.joined(words.row_splits, ids)


def _normalized(tokens, normalize):
    """Tokens whose contents stand as the normaliser leaves them."""
    if normalize is None:
        return tokens
    from dataclasses import replace

    contents = normalize(tf.constant([t.content for t in tokens])).numpy()
    return [
        replace(t, content=c.decode()) for t, c in zip(tokens, contents, strict=True)
    ]


def _merged(outer, added, inner):
    """Ids of added tokens after the second search: those of the first stay."""
    first = tf.gather(added.values, rows.row_ids(inner.row_splits))
    merged = inner.with_values(tf.maximum(first, inner.values))
    return rows.joined(outer.row_splits, merged)


def _with_added(ids, added):
    """Puts the id of an added token where a segment has no text."""
    is_token = added >= 0

    def together():
        tokens = rows.ragged(tf.boolean_mask(added, is_token), rows.splits_of(is_token))
        joined = tf.concat([ids, tokens], axis=1)
        return joined.values, joined.row_splits

    values, splits = tf.cond(
        tf.reduce_any(is_token), together, lambda: (ids.values, ids.row_splits)
    )
    return rows.ragged(values, splits)
