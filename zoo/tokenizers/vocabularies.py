"""Vocabularies of tokenizer files, checked piece by piece."""

from zoo.errors import TokenizerError
from zoo.tokenizers import fields
from zoo.tokenizers.formats import LARGEST_VOCABULARY


def vocabulary(section, where="tokenizer.json: model"):
    """Piece -> id, each id once and in range.

    Raises:
        TokenizerError: naming the piece.
    """
    if not isinstance(section, dict) or not section:
        raise TokenizerError(f"{where}: 'vocab' is empty or not an object.")
    if len(section) > LARGEST_VOCABULARY:
        raise TokenizerError(
            f"{where}: {len(section):,} pieces are more than any model has."
        )
    owner: dict[int, str] = {}
    for piece, i in section.items():
        if (
            not isinstance(i, int)
            or isinstance(i, bool)
            or not 0 <= i < LARGEST_VOCABULARY
        ):
            raise TokenizerError(f"{where}: the id of {piece!r} is {fields.shown(i)}.")
        if i in owner:
            raise TokenizerError(
                f"{where}: {piece!r} and {owner[i]!r} have the same id {i}."
            )
        owner[i] = fields.text(piece, where)
    return section
