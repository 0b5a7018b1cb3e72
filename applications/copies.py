"""Copies among texts: what is held out must not be known by heart."""


def without_copies(examples, held_out=None):
    """One of all texts that differ in white space and punctuation alone.

    A copy of what is held out would be known by heart. Texts that stand there with
    several labels, or among those held out, are left out.
    """

    def key(text):
        return "".join(filter(str.isalnum, text)).casefold() or text

    others = set(map(key, held_out.inputs)) if held_out is not None else set()
    found: dict[str, tuple[int, set[str]]] = {}
    for row, (text, label) in enumerate(
        zip(examples.inputs, examples.answers, strict=True)
    ):
        found.setdefault(key(text), (row, set()))[1].add(label)
    rows = [
        row
        for k, (row, labels) in found.items()
        if len(labels) == 1 and k not in others
    ]
    print(
        f"{len(examples) - len(rows):,} left out: copies of others, held out, or with "
        "several labels"
    )
    return examples.take(rows)
