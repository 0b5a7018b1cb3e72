"""Tagged words in columns, as CoNLL has them (Tjong Kim Sang and De Meulder 2003)."""

import re
from dataclasses import dataclass, replace

from zoo.data import tags as schemes
from zoo.data.formats import open_file, skipped_lines
from zoo.errors import DataError

DOCUMENT = "-DOCSTART-"
TAG = re.compile(rf"O|[{''.join(schemes.LETTERS)}]-\S+")


@dataclass(frozen=True)
class TaggedSentences:
    """What was read from a file.

    Attributes:
        words: N lists of str.
        tags: As many tags, N lists of str.
        scheme: What they are in: "BIO", "BIOES", "IOB1" or "IO".
        skipped: `(line, reason)` of each malformed line, in order. The sentence that it
            stands in was left out.
        left_out: Number of these sentences.
        name: The file.
    """

    words: list[list[str]]
    tags: list[list[str]]
    scheme: str
    skipped: tuple[tuple[int, str], ...]
    left_out: int
    name: str

    @property
    def types(self):
        """Types of entities, sorted."""
        return sorted({span.type for tags in self.tags for span in schemes.spans(tags)})

    def converted(self, scheme):
        """The same in another scheme."""
        tags = [schemes.convert(each, scheme) for each in self.tags]
        return replace(self, tags=tags, scheme=scheme)

    def report(self):
        """One line that says how much was read, and what was left out."""
        said = f"{self.name}: {len(self.words):,} sentences, tags in {self.scheme}"
        if not self.skipped:
            return said
        return (
            f"{said}; {self.left_out:,} sentences left out, malformed lines: "
            f"{skipped_lines(self.skipped)}"
        )


def read_conll(path, *, word=0, tag=-1, scheme=None, encoding="utf-8"):
    """Reads sentences from a file of columns: a word a line, blank lines between.

    Columns are split by tabs where a line has one, and by white space otherwise.
    `-DOCSTART-` lines, and comments ("# id ...") before a sentence, are no words.

    Args:
        path: The file; a name that ends in .gz is unpacked while it is read.
        word, tag: Numbers of their columns, from 0; -1 is the last one.
        scheme: "BIO", "BIOES", "IOB1" or "IO": what tags are converted to. None: as
            they are.
        encoding: Of the file.

    Returns:
        TaggedSentences. A malformed line, such as one without a tag, is listed there,
        and its sentence left out.

    Raises:
        DataError: if the file cannot be read, is empty, has another encoding, or has no
            sentence that is well-formed.
    """
    if scheme is not None:
        schemes.check_scheme(scheme)
    file = open_file(path, file_format="text", encoding=encoding)
    words, tags, skipped = [], [], []
    sentence, wrong, left_out = [], False, 0

    def end():
        nonlocal sentence, wrong, left_out
        if wrong:
            left_out += 1
        elif sentence:
            words.append([pair[0] for pair in sentence])
            tags.append([pair[1] for pair in sentence])
        sentence, wrong = [], False

    for number, _, data in file.lines():
        line = file.decode(data, number).rstrip("\r\n")
        columns = line.split("\t") if "\t" in line else line.split()
        columns = [column.strip() for column in columns]
        if not any(columns) or columns[0] == DOCUMENT:
            end()
            continue
        found = _read(columns, word, tag)
        if not isinstance(found, str):
            sentence.append(found)
        elif sentence or wrong or not line.startswith("# "):
            skipped.append((number, found))
            wrong = True
    end()
    if file.blank:
        raise DataError(f"{file.path} is empty.")
    if not words:
        why = f"line {skipped[0][0]}: {skipped[0][1]}" if skipped else "no words"
        raise DataError(
            f"{file.path}: there is no sentence in it ({why}). Expected a word and its "
            "tag a line, and a blank line behind each sentence."
        )
    found = TaggedSentences(
        words, tags, schemes.scheme_of(tags), tuple(skipped), left_out, file.path.name
    )
    return found if scheme in (None, found.scheme) else found.converted(scheme)


def _read(columns, word, tag):
    """Word and tag of a line, or what is wrong with it, a str."""
    needed = max(word + 1 if word >= 0 else -word, tag + 1 if tag >= 0 else -tag, 2)
    if len(columns) < needed:
        many = "column" if len(columns) == 1 else "columns"
        return f"{len(columns)} {many}, expected {needed} at least"
    if not columns[word]:
        return "no word"
    if not TAG.fullmatch(columns[tag]):
        return f"tag {columns[tag][:20]!r}, expected O, B-TYPE, I-TYPE or the like"
    return columns[word], columns[tag]


def is_json_lines(path):
    """Whether a file's name says that it has a JSON object a line."""
    name = str(path).lower().removesuffix(".gz")
    return name.endswith((".jsonl", ".ndjson"))


def read_marked_texts(path, *, text="text", entities="entities", encoding="utf-8"):
    """Texts and their entities, out of a file of JSON objects.

    Args:
        path: Of a line such as `{"text": "Ann left", "entities": [{"start": 0, "end":
            3, "entity": "PER"}]}`; "label" and "type" are other words for "entity", and
            `[0, 3, "PER"]` another form. Places are code points.
        text, entities: Names of the keys; `entities=None` if they are not wanted.

    Returns:
        Texts, a list of str; for each a list of `{"start", "end", "entity"}`, or None;
        the name of the file; and a line that says how much was read and left out.

    Raises:
        DataError: as `read_conll`.
    """
    file = open_file(path, file_format="jsonl", encoding=encoding)
    texts, answers, skipped = [], [], []
    for line, _, _, row in file.scan():
        found = row if isinstance(row, str) else _marked(row, text, entities)
        if isinstance(found, str):
            skipped.append((line, found))
            continue
        texts.append(row[text])
        answers.append(found)
    if file.blank:
        raise DataError(f"{file.path} is empty.")
    if not texts:
        raise DataError(
            f"{file.path}: there is no example in it (line {skipped[0][0]}: "
            f"{skipped[0][1]})."
        )
    said = f"{file.path.name}: {len(texts):,} examples"
    if skipped:
        said += f", malformed lines left out: {skipped_lines(skipped)}"
    return texts, None if entities is None else answers, file.path.name, said


def _marked(row, text, entities):
    """The entities of one line, or what is wrong with it, a str."""
    if not isinstance(row.get(text), str):
        return f"no {text!r}"
    if entities is None:
        return []
    if not isinstance(row.get(entities), list):
        return f"no list {entities!r}"
    found = []
    for each in row[entities]:
        if isinstance(each, list) and len(each) == 3:
            each = dict(zip(("start", "end", "entity"), each, strict=True))
        if not isinstance(each, dict):
            return f"{str(each)[:40]!r} is no entity"
        kind = next((each[k] for k in ("entity", "label", "type") if k in each), None)
        start, end = each.get("start"), each.get("end")
        whole = type(start) is int and type(end) is int and isinstance(kind, str)
        if not whole or not 0 <= start < end <= len(row[text]):
            return f"{str(each)[:60]} is no entity of this text"
        found.append({"start": start, "end": end, "entity": kind})
    return found
