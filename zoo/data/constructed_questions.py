"""Questions built by construction: real passages, and gaps in their own sentences.

Nobody asked these questions. A span of a sentence (a sum, a year, a number, a name) is
taken out, a question word takes its place, and every fourth word of what stands around
is left out: "receipts during the last fiscal year amounted to how much, and the?" The
answer is thus a span that is known. It shows that a reader learns and that a program
works; a score on it says little about questions that people ask.
"""

import random
import re

from zoo.data.samples import SPEECHES, fetch
from zoo.errors import DataError
from zoo.files import read_bytes

LARGEST = 1 << 22
PASSAGE = 70  # words: a sentence that would go beyond it begins the next passage
AROUND = 9  # words on either side of the gap
LEFT_OUT = 0.25  # share of these words that a question lacks
UNANSWERED = 1 / 3
KINDS = {
    "how much": r"\$\d[\d,]*(?:\.\d+)?(?: (?:thousand|million|billion|trillion))?",
    "which year": r"(?<=[a-z,] )(?:1[6-9]|20)\d\d(?![\d,])",
    "how many": r"(?<![\d$,.])\b\d{1,3}(?:,\d{3})*(?:\.\d+)?(?: (?:per ?cent|million|"
    r"billion))?\b(?![,.]?\d)",
    "what": r"(?<=[a-z,] )(?:[A-Z][a-z]+)(?: (?:of (?:the )?)?[A-Z][a-z]+)+",
}
PATTERNS = {word: re.compile(pattern) for word, pattern in KINDS.items()}
# Not behind "Mr." or an initial, both of which are short.
SENTENCE = re.compile(r"(?<=[a-z\d)]{3}[.!?]) (?=[A-Z])")


def state_of_the_union_questions(*, count=5000, seed=0, cache=None):
    """Questions about passages of the addresses of American presidents, 1790 to 2021.

    A third has no answer in its passage: they are of another passage of the same
    address. The addresses are in the public domain.

    Args:
        count: About how many questions; each passage has two at most.
        seed: Of what is asked.
        cache: As of `zoo.data.samples.fetch`.

    Returns:
        List of examples as `read_squad` gives them; "title" is the address, and "kind"
        the question word.

    Raises:
        DataError: as `fetch`, or if a file is damaged.
    """
    directory = fetch("state-of-the-union", cache=cache)
    texts = {}
    for name in SPEECHES:
        data = read_bytes(directory / name, limit=LARGEST, error=DataError)
        texts[name.removesuffix(".txt")] = data.decode("utf-8", "replace")
    return build_questions(texts, count=count, seed=seed)


def build_questions(texts, *, count, seed=0):
    """Questions out of texts: as `state_of_the_union_questions`.

    Args:
        texts: Title -> text.
    """
    draw = random.Random(seed)
    gaps = [gap for title in texts for gap in _gaps(title, texts[title], draw)]
    draw.shuffle(gaps)
    others: dict = {}
    for gap in gaps:
        others.setdefault((gap["title"], gap["kind"]), []).append(gap)
    found = []
    for gap in gaps[:count]:
        example = {**gap, "id": f"{gap['title']}-{len(found)}"}
        if draw.random() < UNANSWERED:
            other = draw.choice(others[gap["title"], gap["kind"]])
            # The passage tells nothing of what is asked, but has spans of its kind.
            if other["answers"]["text"][0] not in gap["context"]:
                example["question"] = other["question"]
                example["answers"] = {"text": [], "answer_start": []}
        found.append(example)
    return found


def spans_of(kind, text):
    """Where a text has spans of a kind, pairs of code points."""
    return [match.span() for match in PATTERNS[kind].finditer(text)]


def _gaps(title, text, draw):
    """Answerable questions about the passages of a text, two for each at most."""
    for passage in _passages(text):
        spans = [
            (kind, start, end)
            for kind in KINDS
            for start, end in _alone(spans_of(kind, passage), passage)
        ]
        for kind, start, end in draw.sample(spans, min(2, len(spans))):
            yield {
                "title": title,
                "kind": kind,
                "context": passage,
                "question": _question(passage, kind, start, end, draw),
                "answers": {"text": [passage[start:end]], "answer_start": [start]},
            }


def _alone(spans, passage):
    """Those whose text stands there once, of a kind that has another one there."""
    texts = [passage[start:end] for start, end in spans]
    if len(set(texts)) < 2:
        return []
    return [span for span, x in zip(spans, texts, strict=True) if texts.count(x) == 1]


def _passages(text):
    sentences = SENTENCE.split(" ".join(text.split()))
    passage: list[str] = []
    for sentence in sentences:
        if passage and len(" ".join([*passage, sentence]).split()) > PASSAGE:
            yield " ".join(passage)
            passage = []
        passage.append(sentence)
    yield " ".join(passage)


def _question(passage, kind, start, end, draw):
    """The sentence with a gap, and without some of its words."""
    before = SENTENCE.split(passage[:start])[-1].split()[-AROUND:]
    behind = SENTENCE.split(passage[end:])[0].rstrip(".!?").split()[:AROUND]
    kept = [[w for w in part if draw.random() > LEFT_OUT] for part in (before, behind)]
    words = " ".join([*kept[0], kind, *kept[1]])
    return words[:1].upper() + words[1:].rstrip(",;:") + "?"
