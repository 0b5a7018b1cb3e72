"""Byte pair encoding: which pieces the merges can reach, and in which order.

SentencePiece merges any two neighbours whose text is a piece, best score first;
`tokenizers` merges listed pairs, lowest rank first. Both do the same if the pieces are
exactly those that merging reaches, each with the rank of the one pair that makes it.
For take the first merge on which they differ: it joins x and y to the text of a piece
t, and (x, y) is not listed, or not the pair that makes t. No merge has crossed the ends
of t so far, so that what happened between them is what happens to the text of t alone:
there x and y stand side by side at the end, and that is what is computed here.
"""

import numpy as np

from zoo.errors import TokenizerError
from zoo.tokenizers import fields


def read(merges, vocabulary, where="tokenizer.json: model.merges"):
    """Checks merges and looks up their pieces.

    Args:
        merges: List of "left right", or of [left, right].
        vocabulary: Piece -> id.

    Returns:
        int64 `[merges, 3]`: ids of left, right and result.

    Raises:
        TokenizerError: naming a merge that is malformed or has a piece without id.
    """
    if not isinstance(merges, list):
        raise TokenizerError(f"{where}: expected a list, found {fields.shown(merges)}.")
    found = np.zeros([len(merges), 3], np.int64)
    for rank, merge in enumerate(merges):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2 or not all(map(_is_text, pair)):
            raise TokenizerError(
                f"{where}[{rank}]: {fields.shown(merge)} is not a pair of pieces."
            )
        left, right = pair
        try:
            found[rank] = vocabulary[left], vocabulary[right], vocabulary[left + right]
        except KeyError as error:
            raise TokenizerError(
                f"{where}[{rank}]: {left!r} + {right!r}: the piece {error.args[0]!r} "
                "is not in the vocabulary. Are they of one tokenizer?"
            ) from None
    return found


def ranks(spellings, merges):
    """The rank of the merge that makes each piece out of its own text.

    Args:
        spellings: Piece id -> tuple of the ids of its characters, two or more.
        merges: As `read` gives them.

    Returns:
        Piece id -> rank, for the pieces that merging their text reaches.
    """
    lookup = _Lookup(merges)
    by_length: dict[int, list] = {}
    for piece, symbols in spellings.items():
        by_length.setdefault(len(symbols), []).append(piece)
    found: dict[int, int] = {}
    for pieces in by_length.values():
        symbols = np.array([spellings[p] for p in pieces], np.int64)
        found.update(_merged(np.array(pieces), symbols, lookup))
    return found


class _Lookup:
    """Pair of ids -> rank and result, for whole arrays."""

    NONE = np.iinfo(np.int64).max

    def __init__(self, merges):
        self._keys, first = np.unique(
            self._key(merges[::-1, 0], merges[::-1, 1]), return_index=True
        )
        self._ranks = len(merges) - 1 - first  # of a repeated pair the last one counts
        self._results = merges[:, 2]

    def ranks(self, left, right):
        if not len(self._keys):
            return np.full(left.shape, self.NONE)
        key = self._key(left, right)
        place = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        return np.where(self._keys[place] == key, self._ranks[place], self.NONE)

    def results(self, ranks):
        return self._results[ranks]

    @staticmethod
    def _key(left, right):
        return left << 32 | right


def _merged(pieces, symbols, lookup):
    """Merges rows of symbols `[pieces, length]` to the end, one merge a round.

    Yields:
        (piece, rank of the last merge) for each row that ends as its own piece.
    """
    rank = lookup.ranks(symbols[:, :-1], symbols[:, 1:])
    while len(pieces):
        place = rank.argmin(axis=1)
        row = np.arange(len(pieces))
        best = rank[row, place]
        going = best != lookup.NONE
        pieces, symbols, rank = pieces[going], symbols[going], rank[going]
        place, best, row = place[going], best[going], row[: going.sum()]
        result = lookup.results(best)
        if symbols.shape[1] == 2:
            whole = result == pieces
            yield from zip(pieces[whole].tolist(), best[whole].tolist(), strict=True)
            return
        symbols[row, place] = result
        symbols = _without(symbols, place + 1)
        rank = _without(rank, place)
        for near in (place - 1, place):
            inside = (near >= 0) & (near < rank.shape[1])
            at, where = row[inside], near[inside]
            rank[at, where] = lookup.ranks(symbols[at, where], symbols[at, where + 1])


def _without(table, column):
    """A table `[n, k]` less one column in each row."""
    columns = np.arange(table.shape[1] - 1)[None, :]
    return np.take_along_axis(table, columns + (columns >= column[:, None]), axis=1)


def _is_text(value):
    return isinstance(value, str) and value != ""
