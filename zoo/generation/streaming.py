"""Text in pieces: none cuts a character, and none is taken back."""

# What stands for bytes that are not UTF-8, such as half a character.
BROKEN = "\N{REPLACEMENT CHARACTER}"


def chunk_size(columns):
    """Steps between two pieces, for a cache of so many columns.

    Handing the caches over costs a copy of them, the cost of a step does not grow with
    them: larger caches go in longer chunks.
    """
    return min(max(columns // 64, 4), 64)


def pieces(written, prompt, decode, *, stops=()):
    """Yields what is new, as a sequence grows.

    Args:
        written: Yields the ids written so far, each time more of them.
        prompt: Ids before them.
        decode: Lists of ids -> list of texts; None: lists of ids are yielded.
        stops: Stop strings; text that may become one is held back.
    """
    ids, told = [], ""
    if decode is None:
        for row in written:
            if row[len(ids) :]:
                yield row[len(ids) :]
            ids = row
        return
    before = decode([prompt])[0]
    text = ""
    for ids in written:
        text = decode([[*prompt, *ids]])[0]
        text = text[len(before) :] if text.startswith(before) else decode([ids])[0]
        ready = finished(text, stops)
        if len(ready) > len(told):
            yield ready[len(told) :]
            told = ready
    if text[len(told) :]:
        yield text[len(told) :]


def finished(text, stops=()):
    """The part of a text that nothing written later changes."""
    ready = text.rstrip(BROKEN)
    for stop in stops:
        for size in range(min(len(stop) - 1, len(ready)), 0, -1):
            if ready.endswith(stop[:size]):
                ready = ready[:-size]
                break
    return ready
