"""Masked language modelling: some tokens are hidden, and are what is to be predicted.

As BERT's (Devlin et al. 2018, arXiv:1810.04805, section 3.1): of the tokens 15 % are
chosen; of these 80 % become the mask token, 10 % a random token, and 10 % stay. Drawn
anew for each batch (Liu et al. 2019, arXiv:1907.11692). Whole words are chosen together
(BERT's release of May 2019), Chinese ones too (Cui et al. 2019, arXiv:1906.08101).
"""

import logging
import re

import numpy as np
import tensorflow as tf

from zoo.data.randomness import IGNORED, at_each_step, draw_places, valid_tokens
from zoo.data.words import STANDS_ALONE
from zoo.errors import InputError

INSIDE = "##"  # begins a token that goes on with a word, in WordPiece
BEFORE = re.compile("[ĠĊ▁]")  # begins one that begins a word, in other vocabularies


def masked_batches(
    batches,
    tokenizer,
    *,
    rate=0.15,
    whole_words=True,
    segment=None,
    mask_share=0.8,
    random_share=0.1,
    seed=0,
    first_step=0,
):
    """Batches in which tokens are masked, and what stood there.

    In each row a share of the words is chosen, at least one, rounded up or down so that
    the mean is `rate`; with whole words all tokens of a word, and `rate` holds in the
    mean. Special tokens and padding are never chosen, nor put in a token's place.

    Args:
        batches: Dataset of `input_ids` `[B, T]` and what goes with them, such as of
            `packed_batches` or `budget_batches`.
        tokenizer: zoo.Tokenizer with a mask token.
        rate: Share of the words that is chosen.
        whole_words: Whether tokens of a word are chosen together: those that "##"
            begins with the one before; in other vocabularies those that no white space
            stands before.
        segment: How text without spaces is cut into words: "jieba" (Chinese), or a
            function from str to a list of str; None: each character is a word.
        mask_share: Share of the chosen tokens that become the mask token.
        random_share: Share of them that become another, random one.
        seed: What is drawn is a function of (seed, step).
        first_step: The step of the first batch, as of `packed_batches`.

    Returns:
        Dataset of dictionaries, with `labels` `[B, T]` among them: the tokens that were
        chosen, -100 elsewhere. `zoo.MaskedLM` takes it in `fit`.

    Raises:
        InputError: if the tokenizer has no mask token, or an option makes no sense.
    """
    if tokenizer.mask_token_id is None:
        raise InputError(
            "this tokenizer has no mask token. Train one of kind 'wordpiece', or take "
            "that of an encoder."
        )
    shares = {"rate": rate, "mask_share": mask_share, "random_share": random_share}
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise InputError(f"{name}={share!r}: expected a share from 0 to 1.")
    if mask_share + random_share > 1:
        raise InputError(
            f"mask_share={mask_share} and random_share={random_share} are more than "
            "all of the chosen tokens."
        )
    words = _Words(tokenizer, whole_words, segment)
    mask = tokenizer.mask_token_id

    def change(inputs, seeds):
        ids = tf.cast(inputs["input_ids"], tf.int32)
        which, kind, other = tf.unstack(
            tf.random.experimental.stateless_split(seeds, 3)
        )
        number, open_to_choice = words(inputs, ids)
        chosen = _choose(number, open_to_choice, rate, which)
        dice = tf.random.stateless_uniform(tf.shape(ids), kind)
        shown = tf.where(dice < mask_share, mask, ids)
        random = (dice >= mask_share) & (dice < mask_share + random_share)
        place = tf.random.stateless_uniform(
            tf.shape(ids), other, maxval=len(words.ordinary), dtype=tf.int32
        )
        shown = tf.where(random, tf.gather(words.ordinary, place), shown)
        return {
            **inputs,
            "input_ids": tf.where(chosen, shown, ids),
            "labels": tf.where(chosen, ids, IGNORED),
        }

    return at_each_step(batches, change, seed=seed, first_step=first_step)


def _choose(number, open_to_choice, rate, seeds):
    """Whether each token's word is among those drawn, bool `[B, T]`."""
    seeds = tf.random.experimental.stateless_split(seeds, 2)
    width = tf.shape(number)[1]
    counts = tf.reduce_max(tf.where(open_to_choice, number + 1, 0), 1)
    dice = tf.random.stateless_uniform(tf.shape(counts), seeds[0])
    wanted = tf.cast(rate * tf.cast(counts, tf.float32) + dice, tf.int32)
    if rate:
        wanted = tf.maximum(wanted, 1)
    drawn = draw_places(counts, wanted, width, seeds[1])
    return tf.gather(drawn, number, batch_dims=1) & open_to_choice


class _Words:
    """Which tokens make up a word together.

    Attributes:
        ordinary: Ids of all tokens but special ones, int32.
    """

    def __init__(self, tokenizer, whole_words, segment):
        tokens = [tokenizer.id_to_token(i) or "" for i in range(tokenizer.vocab_size)]
        special = {tokenizer.token_to_id(token) for token in tokenizer.special_tokens}
        is_special = np.array([i in special for i in range(len(tokens))])
        self.ordinary = np.flatnonzero(~is_special).astype(np.int32)
        if not len(self.ordinary):
            raise InputError("this tokenizer has special tokens alone.")
        self._open = tf.constant(~is_special)
        inside = np.zeros(len(tokens), bool)
        if whole_words:
            inside = _inside_words(tokens)
        self._inside = tf.constant(inside & ~is_special)
        self._segment = None
        if segment is not None and whole_words:
            self._segment = _jieba() if segment == "jieba" else segment
            if not callable(self._segment):
                raise InputError(
                    f"segment={segment!r}: expected 'jieba', or a function from a text "
                    "to a list of its words."
                )
            # "" where a token is none of the characters that stand alone.
            alone = [t if STANDS_ALONE.fullmatch(t) else "" for t in tokens]
            self._alone = np.array(alone, object)

    def __call__(self, inputs, ids):
        """Number of each token's word in its row, and whether it may be chosen."""
        open_to_choice = tf.gather(self._open, ids) & valid_tokens(inputs)
        before = _moved(open_to_choice)
        if "document_ids" in inputs:
            numbers = inputs["document_ids"]
            before &= tf.equal(numbers, _moved(numbers))
        inside = tf.gather(self._inside, ids)
        if self._segment is not None:
            further = tf.numpy_function(
                self._segmented, [ids, open_to_choice, before], tf.bool, stateful=False
            )
            inside |= tf.ensure_shape(further, ids.shape)
        begins = open_to_choice & ~(inside & before)
        number = tf.cumsum(tf.cast(begins, tf.int32), 1) - 1
        return tf.maximum(number, 0), open_to_choice

    def _segmented(self, ids, open_to_choice, before):
        """Whether a token goes on with a word of a text without spaces."""
        alone = self._alone[ids]
        alone[~open_to_choice] = ""
        found = np.zeros(ids.shape, bool)
        for row, tokens in enumerate(alone):
            there = tokens != ""
            linked = there[1:] & there[:-1] & before[row, 1:]
            starts = np.flatnonzero(there & ~np.append(False, linked))
            stops = np.flatnonzero(there & ~np.append(linked, False)) + 1
            for start, stop in zip(starts, stops, strict=True):
                text = "".join(tokens[start:stop])
                lengths = [len(word) for word in self._segment(text)]
                if sum(lengths) != stop - start:
                    raise InputError(
                        f"segment: the words of {text!r} are {sum(lengths)} characters "
                        f"together; expected all {stop - start}, in their order."
                    )
                found[row, start:stop] = True
                ends = np.cumsum([0, *lengths])[:-1]
                found[row, start + ends[ends < stop - start]] = False
        return found


def _inside_words(tokens):
    """Which tokens go on with the word before them, by how they are spelt."""
    if any(token.startswith(INSIDE) for token in tokens):
        return np.array([token.startswith(INSIDE) for token in tokens])
    return np.array(
        [not (BEFORE.match(token) or STANDS_ALONE.search(token)) for token in tokens]
    )


def _moved(rows):
    """Rows one place to the right, zeros or False first."""
    return tf.concat([tf.zeros_like(rows[:, :1]), rows[:, :-1]], 1)


def _jieba():
    try:
        import jieba
    except ImportError as error:
        raise InputError(
            "segment='jieba' needs the package jieba: pip install "
            "'keras-transformer-zoo[chinese]'."
        ) from error
    jieba.setLogLevel(logging.WARNING)  # it tells of its dictionary otherwise
    return jieba.Tokenizer().lcut
