"""Texts of the samples, in the form in which one learns from them."""

import html
import json
import math
import re

from zoo.data.conll import read_conll
from zoo.data.samples.archives import LARGEST_MEMBER
from zoo.data.samples.fetching import fetch
from zoo.errors import DataError
from zoo.files import read_bytes

MOVIE_SNIPPETS = "movieReviewSnippets_GroundTruth.txt"


def movie_snippets(*, cache=None):
    """Sentences of film reviews with a clear opinion, and their labels.

    From the data of Hutto and Gilbert 2014 (VADER, ICWSM-14): each sentence has the
    mean score of about 15 to 20 human raters, from -4 to 4. Those between -0.5 and 0.5
    are left out.

    Args:
        cache: As of `fetch`.

    Returns:
        `(texts, labels)`: list of str and list of int, 4,982 sentences with label 1
        (score above 0.5) and 5,061 with label 0 (score below -0.5), in file order.

    Raises:
        DataError: as `fetch`, or if the file is damaged.
    """
    path = fetch("movie-snippets", cache=cache) / MOVIE_SNIPPETS
    return read_movie_snippets(path)


def addresses(*, since=1790, cache=None):
    """The State of the Union addresses until 2021, 233 texts in the order of years.

    Args:
        since: The first year.
        cache: As of `fetch`.

    Raises:
        DataError: as `fetch`, or if a file is damaged.
    """
    directory, texts = fetch("state-of-the-union", cache=cache), []
    for path in sorted(directory.glob("*.txt")):  # which begin with their year
        if int(path.name[:4]) < since:
            continue
        data = read_bytes(path, limit=LARGEST_MEMBER, error=DataError)
        texts.append(data.decode("utf-8").strip())
    return texts


def chinese_reviews(*, cache=None):
    """Chinese reviews of books, hotels and other goods, and whether they praise.

    About half of them are copies of others, as they are in the file.

    Args:
        cache: As of `fetch`.

    Returns:
        `(texts, labels)`: list of str and list of int, 18,575 negative ones (0) and
        16,548 positive ones (1), in file order.

    Raises:
        DataError: as `fetch`, or if a file is damaged.
    """
    directory = fetch("chinese-reviews", cache=cache)
    texts, labels = [], []
    for label, name in enumerate(("neg.txt", "pos.txt")):
        data = read_bytes(directory / name, limit=LARGEST_MEMBER, error=DataError)
        found = [line.strip() for line in data.decode("utf-8").split("\n")]
        texts += filter(None, found)
        labels += [label] * (len(texts) - len(labels))
    return texts, labels


def tang_poems(*, cache=None):
    """Poems of the Tang dynasty in four or eight lines of five or seven characters.

    Those are the forms of quatrains and of regulated verse. Two lines and their
    punctuation are a line of text. Of equal poems one is kept.

    Args:
        cache: As of `fetch`.

    Returns:
        List of str, in the order of the Quan Tangshi.

    Raises:
        DataError: as `fetch`, or if a file is damaged.
    """
    directory = fetch("tang-poems", cache=cache)
    line = "(?:[^\\W\\d_]{%d}[，。？！；]){2}"  # two lines of verse
    verses = [rf"{line % size}(?:\n{line % size}){{1,3}}" for size in (5, 7)]
    regular = re.compile("|".join(verses))
    poems = []
    for start in range(0, 58_000, 1000):
        path = directory / f"poet.tang.{start}.json"
        found = json.loads(read_bytes(path, limit=LARGEST_MEMBER, error=DataError))
        poems += ["\n".join(poem["paragraphs"]) for poem in found]
    lines = (1, 3)  # breaks between them
    return [
        poem
        for poem in dict.fromkeys(poems)
        if poem.count("\n") in lines and regular.fullmatch(poem)
    ]


def read_movie_snippets(path):
    """As `movie_snippets`, from a file: number, score and sentence, split by tabs."""
    data = read_bytes(path, limit=LARGEST_MEMBER, error=DataError)
    texts, labels = [], []
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
        try:
            _, mean, text = line.decode("utf-8").removesuffix("\r").split("\t")
            score = float(mean)
            if not math.isfinite(score):
                raise ValueError
        except ValueError as error:
            raise DataError(
                f"{path}, line {number}: expected number, score and sentence, in UTF-8 "
                f"and split by tabs; found {line[:80]!r}. Remove the directory it is "
                "in, so that it is fetched again."
            ) from error
        if abs(score) > 0.5:
            texts.append(html.unescape(text))  # "S&amp;M", in 22 lines
            labels.append(int(score > 0))
    return texts, labels


def tweet_entities(*, cache=None):
    """Words of tweets and their tags, with entities of ten types, in BIO.

    Of tweets that stand there twice one is kept, so that none is both learnt from and
    held out.

    Args:
        cache: As of `fetch`.

    Returns:
        `(words, tags)`: 2,295 lists of str each, in file order.

    Raises:
        DataError: as `fetch`.
    """
    found = read_conll(fetch("tweet-entities", cache=cache) / "ner.txt", scheme="BIO")
    kept = {tuple(row): tags for row, tags in zip(found.words, found.tags, strict=True)}
    return [list(row) for row in kept], list(kept.values())
