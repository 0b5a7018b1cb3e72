"""State: what processors see of what has been written so far."""

from typing import NamedTuple

import tensorflow as tf


class State(NamedTuple):
    """What has been written so far. Beams are rows of their own in B.

    Attributes:
        tokens: int32 `[B, S]`: the prompt, padded on the left to one length, and what
            was generated.
        mask: bool `[B, S]`: where tokens stand; False at padding and beyond what is
            written.
        start: Column of the first generated token. For an encoder-decoder, the
            decoder's start token is the prompt.
        step: int32 scalar: tokens generated so far. Columns below `start + step` are
            written.
    """

    tokens: tf.Tensor
    mask: tf.Tensor
    start: int
    step: tf.Tensor
