"""What the recipes that train language models compare them by."""

import math
import time

from applications.ngrams import NGrams
from zoo.data.packing import packed_rows

COLUMNS = {"loss": ".3f", "perplexity": ".2f", "parameters": ",", "fit_seconds": ".0f"}


def language_scores(loss, parameters, seconds):
    """The row of a model.

    Args:
        loss: Nats for each held-out token.
        parameters: How many there are; of n-grams, how many different ones.
        seconds: Of learning.
    """
    return {
        "loss": float(loss),
        "perplexity": math.exp(loss),
        "parameters": parameters,
        "fit_seconds": round(seconds, 1),
    }


def count_ngrams(encoded, packing, held_rows, asked, vocab_size):
    """Counts 5-grams in texts that were packed.

    Args:
        encoded, packing: As of `zoo.data.encoded.encode_texts` and
            `zoo.data.packing.pack`.
        held_rows: `input_ids` and `document_ids` of held-out rows.
        asked: Which of their tokens count, bool `[N, T]`.
        vocab_size: V.

    Returns:
        NGrams, and its row.
    """
    began = time.perf_counter()
    rows = packed_rows(encoded, packing, range(packing.rows))
    model = NGrams(rows["input_ids"], rows["document_ids"], vocab_size)
    losses = model.losses(held_rows["input_ids"], held_rows["document_ids"])
    seconds = time.perf_counter() - began
    return model, language_scores(losses[asked].mean(), model.size, seconds)
