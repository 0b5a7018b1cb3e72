"""Pairs of texts out of sample material: translations, and descriptions in short."""

import gettext
import json
import re
from collections import Counter

from zoo.data.samples import LARGEST_MEMBER, LIST, fetch
from zoo.errors import DataError, InputError
from zoo.files import read_bytes

# What each language is called in Home Assistant's files and in Django's.
LANGUAGES = {"de": ("de", "de"), "zh": ("zh-Hans", "zh_Hans")}
LONGEST = 200  # characters; longer ones are whole pages of help
SHORTEST = 40  # characters of a description


def interface_texts(language, *, cache=None):
    """What programs say to their users, in English and in another language.

    From Home Assistant (Apache-2.0) and from Django's gettext catalogues (BSD). Texts
    that differ in case, white space or punctuation at the end alone are one, with the
    translation that it has most often; those that were left in English are left out.

    Args:
        language: "de" or "zh" (simplified characters).
        cache: As of `fetch`.

    Returns:
        `(sources, targets)`: lists of str, each source once.

    Raises:
        DataError: as `fetch`.
        InputError: if there is no such language.
    """
    if language not in LANGUAGES:
        raise InputError(
            f"language={language!r}: expected one of {', '.join(LANGUAGES)}."
        )
    first, second = LANGUAGES[language]
    found = [*_home_assistant(first, cache), *_django(second, cache)]
    return one_of_each(found)


def one_of_each(pairs):
    """The pairs of different sources, each with its most frequent target.

    Args:
        pairs: Iterable of `(source, target)`.

    Returns:
        `(sources, targets)`, in the order in which sources first come.
    """
    groups: dict[str, Counter] = {}
    for source, target in pairs:
        source, target = source.strip(), target.strip()
        usable = 0 < len(target) <= LONGEST and len(source) <= LONGEST
        if usable and source != target and any(map(str.isalpha, source)):
            groups.setdefault(folded(source), Counter())[source, target] += 1
    best = [group.most_common(1)[0][0] for group in groups.values()]
    return [source for source, _ in best], [target for _, target in best]


def folded(text):
    """A text without what two that are learnt and asked for must not differ in alone:
    case, white space, and punctuation at the end."""
    return " ".join(text.casefold().split()).rstrip(" .:!?…")


def package_descriptions(*, cache=None):
    """Long descriptions of Debian's packages, and the short ones that go with them.

    A program that is cut into packages has the same first paragraph in all of them: of
    descriptions that begin with the same paragraph the first is kept.

    Args:
        cache: As of `fetch`.

    Returns:
        `(long, short)`: lists of str.

    Raises:
        DataError: as `fetch`.
    """
    path = fetch("debian-descriptions", cache=cache) / "Translation-en"
    data = read_bytes(path, limit=LARGEST_MEMBER, error=DataError)
    return read_descriptions(data.decode("utf-8", "replace"))


def read_descriptions(text):
    """As `package_descriptions`, from the text of a `Translation-en` file."""
    found = {}
    for stanza in text.split("\n\n"):
        _, mark, rest = stanza.partition("\nDescription-en: ")
        short, _, rest = rest.partition("\n")
        paragraphs = re.split(r"\n \.\n", f"\n{rest.rstrip()}")
        paragraphs = [" ".join(each.split()) for each in paragraphs]
        long = " ".join(filter(None, paragraphs))
        if mark and short.strip() and len(long) >= SHORTEST:
            found.setdefault(folded(paragraphs[0]), (long, short.strip()))
    return [long for long, _ in found.values()], [short for _, short in found.values()]


# --- Translations --------------------------------------------------------------------


def _home_assistant(language, cache):
    directory = fetch("home-assistant-texts", cache=cache)
    for name in _listed(directory):
        if not name.endswith(f"/{language}.json"):
            continue
        path = directory / name
        english = path.with_name("en.json")
        if english.is_file():
            sources, targets = (dict(_texts(_json(each))) for each in (english, path))
            for key in filter(targets.__contains__, sources):  # in the file's order
                yield sources[key], targets[key]


def _django(language, cache):
    directory = fetch("django-texts", cache=cache)
    for name in _listed(directory):
        if f"/{language}/" in name:
            with open(directory / name, "rb") as file:
                messages = vars(gettext.GNUTranslations(file))["_catalog"]
            for source, target in messages.items():
                if isinstance(source, str):  # else one of the forms of a plural
                    yield source.rpartition("\x04")[2], target


def _listed(directory):
    return sorted((directory / LIST).read_text(encoding="utf-8").splitlines())


def _json(path):
    return json.loads(read_bytes(path, limit=LARGEST_MEMBER, error=DataError))


def _texts(tree, place=()):
    """`(place, text)` for each text in dictionaries of dictionaries."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _texts(value, (*place, key))
        elif isinstance(value, str):
            yield (*place, key), value
