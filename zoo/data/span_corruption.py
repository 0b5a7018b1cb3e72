"""T5's span corruption: spans of a text are taken out, and are what is to be written.

Raffel et al. 2019, arXiv:1910.10683, sections 3.1.4 and 3.3.4: 15 % of the tokens are
taken out, in spans of 3 tokens in the mean. In place of each span the input has a
sentinel, and the target is the spans, each behind its sentinel, and a last sentinel:

    Thank you for inviting me to your party last week .
    Thank you <extra_id_0> me to your party <extra_id_1> week .
    <extra_id_0> for inviting <extra_id_1> last <extra_id_2>
"""

import re

import tensorflow as tf

from zoo.data.randomness import IGNORED, at_each_step, draw_places, valid_tokens
from zoo.errors import InputError

STEP = 16  # targets of packed rows are padded to multiples of so many tokens
SENTINEL = re.compile(r"<extra_id_(\d+)>")


def span_counts(tokens, *, noise_density=0.15, mean_span_length=3.0):
    """How much of a text is taken out: `(tokens, spans)`, as T5's code counts.

    A text of fewer than two tokens stays whole.
    """
    if tokens < 2:
        return 0, 0
    noise = min(max(round(tokens * noise_density), 1), tokens - 1)
    spans = max(round(noise / mean_span_length), 1)
    return noise, min(spans, noise, tokens - noise)


def span_lengths(tokens, *, final_sentinel=True, end=True, **options):
    """Tokens of the input and of the target that a text of so many tokens gives.

    568 tokens give 512 and 114 without the final sentinel, as in T5's pretraining.

    Args:
        tokens: Without the end token.
        final_sentinel, end: As of `span_batches`; `end`: whether there is an end token.
        options: `noise_density`, `mean_span_length`.
    """
    noise, spans = span_counts(tokens, **options)
    end = int(end and tokens > 0)
    target = noise + spans + (final_sentinel + end if spans else 0)
    return tokens - noise + spans + end, target


def span_batches(
    batches,
    tokenizer,
    *,
    noise_density=0.15,
    mean_span_length=3.0,
    final_sentinel=True,
    seed=0,
    first_step=0,
):
    """Batches from which spans are taken out, and the spans as labels.

    Each document is corrupted as if it were alone: the whole row, or with
    `document_ids` each document of it. An end token (`tokenizer.eos_token`) behind a
    document stays, and stands behind input and target of every document. No other
    special token is looked at; encode texts without them.

    Where spans lie is drawn from all ways to place them. T5's code has each text begin
    with text and end with a span, so that of a short one only the end were taken out.

    Args:
        batches: Dataset of `input_ids` `[B, T]`, T known, and `attention_mask` or
            `document_ids`, such as of `packed_batches`.
        tokenizer: zoo.Tokenizer with sentinels `<extra_id_0>`, `<extra_id_1>`, ...
        noise_density: Share of a document's tokens that is taken out.
        mean_span_length: Mean length of a span, in tokens.
        final_sentinel: Whether the target ends with a sentinel of its own, as in the
            paper; T5's code, and so its checkpoints, leave it out.
        seed: What is drawn is a function of (seed, step).
        first_step: The step of the first batch, as of `packed_batches`.

    Returns:
        Dataset of dictionaries that `zoo.T5Model` takes in `fit`: `input_ids` `[B, S]`,
        `labels` `[B, T]` with -100 in padding, and `attention_mask`, or for packed rows
        `document_ids` and `decoder_document_ids`. S and T are those of `span_lengths`;
        for packed rows, what holds all of them.

    Raises:
        InputError: if the tokenizer has too few sentinels for rows of this length, or
            an option makes no sense.
    """
    if not 0 < noise_density < 1 or mean_span_length < 1:
        raise InputError(
            f"noise_density={noise_density!r} and mean_span_length={mean_span_length!r}"
            ": expected a share between 0 and 1, and a length from 1 on."
        )
    spec = batches.element_spec
    spec = spec[0] if isinstance(spec, tuple) and len(spec) == 1 else spec
    width = spec["input_ids"].shape[1] if isinstance(spec, dict) else None
    if width is None:
        raise InputError(
            f"the dataset yields {spec}; expected input_ids [B, T] with a known T, as "
            "packed_batches gives."
        )
    options = {"noise_density": noise_density, "mean_span_length": mean_span_length}
    corruption = _Corruption(tokenizer, width, final_sentinel, options)
    return at_each_step(batches, corruption, seed=seed, first_step=first_step)


class _Corruption:
    """Changes batches of rows of one width, W; N is the number of documents."""

    def __init__(self, tokenizer, width, final_sentinel, options):
        counts = [span_counts(n, **options) for n in range(width + 1)]
        self.noise, self.spans = map(tf.constant, zip(*counts, strict=True))
        most = max(1, *(spans for _, spans in counts))
        found = {i: tokenizer.token_to_id(f"<extra_id_{i}>") for i in range(most + 1)}
        needed = range(most + final_sentinel)
        if any(found[i] is None for i in needed):
            have = sum(bool(SENTINEL.fullmatch(t)) for t in tokenizer.special_tokens)
            raise InputError(
                f"rows of {width} tokens need {len(needed)} sentinels, <extra_id_0> to "
                f"<extra_id_{len(needed) - 1}>; the tokenizer has {have}. Shorten the "
                "rows, raise mean_span_length, or train a tokenizer of kind 'unigram' "
                f"with extra_ids={len(needed)}."
            )
        self.sentinels = tf.constant([found[i] or 0 for i in range(most + 1)], tf.int32)
        self.end = tokenizer.eos_token_id
        self.pad = tokenizer.pad_token_id or 0
        self.width, self.most, self.final = width, most, final_sentinel
        self.lengths = span_lengths(
            width, final_sentinel=final_sentinel, end=self.end is not None, **options
        )

    def __call__(self, inputs, seeds):
        ids = tf.cast(inputs["input_ids"], tf.int32)
        valid, packed = valid_tokens(inputs), inputs.get("document_ids")
        rows = tf.cast(valid, tf.int32)
        if packed is None:
            lengths, documents = tf.reduce_sum(rows, 1), tf.ones_like(ids[:, 0])
        else:
            before = tf.concat([tf.zeros_like(packed[:, :1]), packed[:, :-1]], 1)
            begins = tf.not_equal(packed, before) & valid
            documents = tf.reduce_sum(tf.cast(begins, tf.int32), 1)
            number = tf.cumsum(tf.cast(tf.boolean_mask(begins, valid), tf.int32)) - 1
            lengths = tf.math.bincount(number, minlength=tf.reduce_sum(documents))
        texts = tf.RaggedTensor.from_row_lengths(
            tf.boolean_mask(ids, valid), tf.cast(lengths, tf.int64)
        )
        texts = texts.to_tensor(shape=[None, self.width])
        sources, targets = self.corrupt(texts, lengths, seeds)
        if packed is None:
            source, target = self.lengths
            shown = sources.to_tensor(self.pad, shape=[None, source])
            return {
                "input_ids": shown,
                "attention_mask": tf.sequence_mask(
                    sources.row_lengths(), source, tf.int32
                ),
                "labels": targets.to_tensor(IGNORED, shape=[None, target]),
            }
        shown, numbers = _in_rows(sources, documents, self.pad, self.width)
        labels, decoder_numbers = _in_rows(targets, documents, IGNORED, STEP)
        return {
            "input_ids": shown,
            "document_ids": numbers,
            "labels": labels,
            "decoder_document_ids": decoder_numbers,
        }

    def corrupt(self, ids, lengths, seeds):
        """Ragged inputs and targets, from documents `[N, W]` and their lengths."""
        some = lengths > 0
        if self.end is not None:  # it stands behind both; it is not to be predicted
            last = tf.gather(ids, tf.maximum(lengths - 1, 0), batch_dims=1)
            lengths -= tf.cast(some & tf.equal(last, self.end), lengths.dtype)
        begins, inside, number = self.draw(lengths, seeds)
        place = tf.range(self.width)
        sentinel = tf.gather(self.sentinels, number)
        kept = (place < lengths[:, None]) & (begins | ~inside)
        source = tf.ragged.boolean_mask(tf.where(begins, sentinel, ids), kept)
        both = tf.reshape(tf.stack([sentinel, ids], 2), [-1, 2 * self.width])
        written = tf.reshape(tf.stack([begins, inside], 2), [-1, 2 * self.width])
        target = tf.ragged.boolean_mask(both, written)
        spans = tf.gather(self.spans, lengths)
        if self.final:
            final = tf.gather(self.sentinels, spans)
            target = _followed(target, final, spans > 0)
        if self.end is not None:
            end = tf.fill(tf.shape(lengths), self.end)
            source = _followed(source, end, some)
            target = _followed(target, end, spans > 0)
        return source, target

    def draw(self, lengths, seeds):
        """Which tokens begin a span, which are in one, and the number of the span.

        All ways to place spans with text between them are alike, and all ways to cut
        the noise into spans.

        Returns:
            bool, bool and int32, all `[N, W]`.
        """
        noise, spans = tf.gather(self.noise, lengths), tf.gather(self.spans, lengths)
        seeds = tf.random.experimental.stateless_split(seeds, 2)
        # Before the first span and behind the last one there may be no text: a token
        # more for each of these two parts, which is then taken away.
        text = self.cut(lengths - noise + 2, spans + 1, seeds[0])
        text -= tf.one_hot(0, self.most + 1, dtype=tf.int32)
        text -= tf.one_hot(spans, self.most + 1, dtype=tf.int32)
        noise = self.cut(noise, spans, seeds[1])
        parts = tf.stack([text, noise], 2)
        ends = tf.cumsum(tf.reshape(parts, [-1, 2 * self.most + 2]), 1)
        place = tf.tile(tf.range(self.width)[None], [tf.size(lengths), 1])
        part = tf.searchsorted(ends, place, side="right")
        inside = (part % 2 == 1) & (place < lengths[:, None])
        before = tf.concat([tf.zeros_like(part[:, :1]), part[:, :-1]], 1)
        begins = inside & ((place == 0) | tf.not_equal(part, before))
        return begins, inside, tf.minimum(part // 2, self.most)

    def cut(self, tokens, parts, seeds):
        """Lengths of so many parts, none empty, that make up so many tokens.

        Returns:
            int32 `[N, most spans + 1]`, 0 behind the last part.
        """
        width = self.width + 2
        cuts = draw_places(tokens - 1, parts - 1, width - 1, seeds)
        cuts = tf.concat([tf.zeros_like(cuts[:, :1]), cuts], 1)
        part = tf.cumsum(tf.cast(cuts, tf.int32), 1)
        there = (tf.range(width) < tokens[:, None]) & (parts > 0)[:, None]
        part = tf.where(there, part, -1)
        one_hot = tf.equal(part[:, :, None], tf.range(self.most + 1))
        return tf.reduce_sum(tf.cast(one_hot, tf.int32), 1)


def _followed(rows, values, where):
    """Ragged rows with a value behind those of them where it is wanted."""
    last = tf.RaggedTensor.from_row_lengths(
        tf.boolean_mask(values, where), tf.cast(where, tf.int64)
    )
    return tf.concat([rows, last], 1)


def _in_rows(texts, documents, fill, width):
    """Ragged documents `[N, (tokens)]` back in rows, with their numbers.

    Args:
        documents: How many there are in each row, `[B]`.
        fill: What stands in padding.
        width: Rows are padded to a multiple of it.

    Returns:
        Two int32 `[B, T]`: tokens, and 1, 2, ... for documents and 0 in padding.
    """
    number = tf.cast(tf.ragged.range(documents).values + 1, tf.int32)
    numbers = texts.with_values(tf.repeat(number, texts.row_lengths()))
    counts, found = tf.cast(documents, tf.int64), []
    for flat, padding in ((texts, fill), (numbers, 0)):
        rows = tf.RaggedTensor.from_row_lengths(flat, counts).merge_dims(1, 2)
        longest = tf.maximum(rows.bounding_shape(1), 1)
        length = -(-longest // width) * width
        dense = rows.to_tensor(padding, shape=tf.stack([rows.nrows(), length]))
        found.append(tf.ensure_shape(dense, [documents.shape[0], None]))
    return found
