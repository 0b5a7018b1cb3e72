"""What counts as a word where the language is not known."""

import re

# Scripts without spaces between words: of these, each character counts as one.
ALONE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9d"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
WORD = re.compile(rf"[{ALONE}]|(?:(?![{ALONE}])\w)+")
STANDS_ALONE = re.compile(f"[{ALONE}]")


def words_of(text):
    """The words of a text: runs of letters and digits, or single characters."""
    return WORD.findall(text)


def lacks_spaces(text):
    """Whether most of a text is in scripts that put no spaces between words."""
    return 2 * len(STANDS_ALONE.findall(text)) > len(text)
