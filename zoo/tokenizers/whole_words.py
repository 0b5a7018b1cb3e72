"""Words that are one piece: looked up, which takes a tenth of the time of a search."""

import numpy as np
import tensorflow as tf

from zoo.tokenizers import rows


class WholeWords(tf.Module):
    """A fixed table of the words whose piece is known; half of all words or more.

    Args:
        pieces: Word, as bytes or str, -> id.
    """

    def __init__(self, pieces):
        super().__init__(name="whole_words")
        pieces = pieces or {"": -1}  # TensorFlow has no empty tables
        keys = np.array(
            [w.encode() if isinstance(w, str) else w for w in pieces], object
        )
        values = np.array(list(pieces.values()), np.int32)
        initial = tf.lookup.KeyValueTensorInitializer(keys, values, tf.string, tf.int32)
        self._table = tf.lookup.StaticHashTable(initial, -1)

    def __call__(self, words, search):
        """Words `[N]` to ids, ragged int32 `[N, (pieces)]`.

        Args:
            words: Strings `[N]`.
            search: What does it for strings `[M]` that are not in the table.
        """
        whole = self._table.lookup(words)
        is_whole = whole >= 0
        ids = search(rows.taken(words, ~is_whole))
        found = rows.taken(whole, is_whole)
        found = rows.ragged(found, tf.range(tf.size(found, tf.int64) + 1))
        return tf.gather(rows.stacked([ids, found]), rows.partitioned(is_whole))
