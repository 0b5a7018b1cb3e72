"""What comes back from generation: sequences, their texts and why they ended."""

from typing import NamedTuple


class Sequence(NamedTuple):
    """One sequence that was written.

    Attributes:
        text: It as text, without special tokens; None if there is no tokenizer.
        ids: Its tokens, the one that ended it included.
        finish_reason: "stop" (a token that ends), "stop_string" or "length".
        score: Beams: log-probability / length ** length_penalty; else the sum of
            `logprobs`, or None where these were not asked for.
        logprobs: Log-probability of each token under the distribution that it was
            chosen from; None where they were not asked for.
    """

    text: str | None
    ids: list[int]
    finish_reason: str
    score: float | None = None
    logprobs: list[float] | None = None


def continuations(pairs, decode):
    """Texts of what follows prompts.

    A token may have another text behind a prompt than alone (a leading space, half a
    character), so both are decoded together where the prompt's own text stays.

    Args:
        pairs: `(prompt, ids)` lists.
        decode: Lists of ids -> list of texts.
    """
    before = decode([prompt for prompt, _ in pairs])
    whole = decode([[*prompt, *ids] for prompt, ids in pairs])
    alone = decode([ids for _, ids in pairs])
    return [
        text[len(start) :] if text.startswith(start) else rest
        for start, text, rest in zip(before, whole, alone, strict=True)
    ]


def finish_reason(ids, text, config):
    """Why a sequence ended: "stop", "stop_string" or "length"."""
    if ids and ids[-1] in config.eos_token_ids:
        return "stop"
    if text is not None and any(stop in text for stop in config.stop_strings):
        return "stop_string"
    return "length"
