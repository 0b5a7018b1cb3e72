"""From text to pieces: added tokens, normaliser, words, model, in this order."""

import tensorflow as tf

from zoo.tokenizers import rows, splitting
from zoo.tokenizers.added_tokens import AddedTokenSplitter
from zoo.tokenizers.alignment import AlignedText
from zoo.tokenizers.post_processing import Pieces


class Pipeline(tf.Module):
    """Text to ids, without the special tokens around it.

    Args:
        model: Words `[N]` to ids, ragged int32 `[N, (pieces)]`.
        words: Texts `[N]` to words, ragged `[N, (words)]`.
        added: Added tokens.
        normalize: Texts `[N]` to texts `[N]`, or None.
        exact: `(normalize, words)` that do the same with offsets, where those above
            have none.

    Attributes:
        normalized: Id -> text of the added tokens that are sought in normalised text.
    """

    def __init__(self, model, words, added=(), normalize=None, exact=None):
        super().__init__(name="pipeline")
        self._exact = exact or (normalize, words)
        self._model = model
        self._words = words
        self._normalize = normalize
        self._raw = AddedTokenSplitter([t for t in added if not t.normalized])
        late = [t for t in added if t.normalized]
        late = _normalized(late, normalize)
        self._late = AddedTokenSplitter(late) if late else None
        self.normalized = {token.id: token.content for token in late}

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

    def with_offsets(self, texts):
        """As `__call__`, with the offsets of each piece."""
        normalize, words = self._exact
        texts = splitting.repair(texts)
        segments, added = self._raw(texts)
        starts = _starts(segments)
        sizes = tf.strings.length(segments.values, unit="UTF8_CHAR")
        token_spans = tf.stack([starts, starts + sizes], axis=1)
        text = AlignedText.of(segments.values, starts).only(added.values < 0)
        if normalize is not None:
            text = normalize.aligned(text)
        if self._late is not None:
            inner, found = self._late(text.texts)
            text = AlignedText(inner.values, text.spans)
            is_late = found.values >= 0
            outer = tf.gather(token_spans, rows.row_ids(inner.row_splits))
            token_spans = tf.tensor_scatter_nd_update(
                outer, tf.where(is_late), text.ends_of(is_late)
            )
            added = _merged(segments, added, found)
            segments = rows.joined(segments.row_splits, inner)
        begins = rows.firsts(segments.row_splits)
        text = text.only(added.values < 0)
        text, splits = words.aligned(text, begins)
        ids, spans = self._model.spans(text.texts)
        spans = text.token_spans(rows.row_ids(ids.row_splits), spans)
        ids = rows.joined(splits, ids)
        is_token = added.values >= 0
        tokens = tf.boolean_mask(added.values, is_token)
        tokens = rows.ragged(tokens, rows.splits_of(is_token))
        beside = tokens.with_values(tf.boolean_mask(token_spans, is_token))
        spans = tf.concat([ids.with_values(spans), beside], axis=1)
        ids = tf.concat([ids, tokens], axis=1)
        return Pieces(rows.joined(segments.row_splits, ids), spans.values)

    def _encode(self, texts, begins):
        words = self._words(texts, begins)
        unique, index = tf.unique(words.values)
        ids = tf.gather(self._model(unique), index)
        return rows.joined(words.row_splits, ids)


def _starts(segments):
    """The character of the whole text at which each segment begins, int32."""
    sizes = tf.strings.length(segments.values, unit="UTF8_CHAR")
    before = tf.cumsum(sizes, exclusive=True)
    row = rows.row_ids(segments.row_splits)
    first = tf.gather(segments.row_splits, row)
    return before - tf.gather(before, first)


def _normalized(tokens, normalize):
    """Tokens whose contents stand as the normaliser leaves them."""
    if normalize is None or not tokens:
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
        tokens = rows.ragged(rows.taken(added, is_token), rows.splits_of(is_token))
        joined = rows.beside([ids, tokens])
        return joined.values, joined.row_splits

    values, splits = tf.cond(
        tf.reduce_any(is_token), together, lambda: (ids.values, ids.row_splits)
    )
    return rows.ragged(values, splits)
