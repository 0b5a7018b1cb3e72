"""Tokenising text: zoo in tf.data beside `tokenizers` (Rust), on the same two cores.

Both get the same lines and give ids; before anything is timed the ids are compared. The
turns alternate, and the figure is the ratio of the medians.

    python -m tools.benchmark_tokenize --rounds 9
"""

import argparse
import itertools
import json
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

BATCH = 2048  # lines
MEGABYTES = 4  # of text, about
KINDS = ("byte-level BPE (GPT-2)", "WordPiece (BERT)", "Unigram (T5)")


@dataclass(frozen=True)
class Timing:
    """Throughput of one kind of tokenizer on one kind of text.

    Attributes:
        kind: One of `KINDS`.
        text: "English" or "code".
        megabytes: Of text in one turn.
        zoo, tokenizers: Seconds of each turn.
        different: Lines whose ids differ.
        lines: Lines in all.
    """

    kind: str
    text: str
    megabytes: float
    zoo: tuple[float, ...]
    tokenizers: tuple[float, ...]
    different: int
    lines: int

    @property
    def ratio(self):
        """How many times as fast zoo is, by the medians."""
        return statistics.median(self.tokenizers) / statistics.median(self.zoo)

    def line(self):
        """One row of the table."""
        speeds = (
            self.megabytes / statistics.median(s) for s in (self.zoo, self.tokenizers)
        )
        ours, theirs = (f"{speed:6.1f} MB/s" for speed in speeds)
        return (
            f"{self.kind:24} {self.text:8} zoo {ours}  tokenizers {theirs}  "
            f"ratio {self.ratio:4.2f}  ({self.different} of {self.lines} lines differ)"
        )


def run(*, rounds=7, megabytes=MEGABYTES, threads=2, kinds=KINDS, cache=None):
    """Measures each kind of tokenizer on each kind of text.

    Args:
        rounds: Turns of each contender.
        megabytes: Size of each text, about.
        threads: Threads of each contender.
        kinds: Which tokenizers, of `KINDS`.
        cache: As of `zoo.data.samples.fetch`.

    Returns:
        dict with "settings" and a list "timings" of plain dicts.

    Raises:
        AssertionError: if more than one line in 10,000 has other ids.
    """
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # read when `tokenizers` starts
    timings = []
    for kind in kinds:
        ours, reference = _contenders(kind, cache)
        for name, lines in _texts(megabytes, cache).items():
            timing = _measured(kind, name, lines, ours, reference, rounds, threads)
            print(timing.line(), flush=True)
            timings.append(timing)
    settings = {"rounds": rounds, "megabytes": megabytes, "threads": threads}
    rows = [{**vars(t), "ratio": t.ratio} for t in timings]
    return {"settings": settings, "timings": rows}


def tokenize(rounds: int = 7, megabytes: int = MEGABYTES, output: Path | None = None):
    """Text to ids in tf.data, beside `tokenizers` on the same number of threads."""
    found = run(rounds=rounds, megabytes=megabytes)
    if output is not None:
        output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--megabytes", type=int, default=MEGABYTES)
    parser.add_argument("--output", type=Path, help="Write all figures as JSON.")
    tokenize(**vars(parser.parse_args()))


def _measured(kind, name, lines, ours, reference, rounds, threads):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(lines).batch(BATCH)
    data = data.map(
        lambda texts: ours(texts, padding=None, truncation=None)["input_ids"],
        num_parallel_calls=threads,
    ).prefetch(threads)
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    data = data.with_options(options)
    found = [row for batch in data for row in _rows(batch)]
    expected = [e.ids for e in reference.encode_batch(lines)]
    different = sum(a != b for a, b in zip(found, expected, strict=True))
    assert different <= len(lines) / 10_000, f"{kind}, {name}: {different} lines differ"
    zoo, rust = [], []
    for _ in range(rounds):
        zoo.append(_seconds(lambda: [None for _ in data]))
        rust.append(_seconds(lambda: _in_batches(reference, lines)))
    size = sum(len(line.encode()) for line in lines) / 1e6
    return Timing(kind, name, size, tuple(zoo), tuple(rust), different, len(lines))


def _in_batches(reference, lines):
    for start in range(0, len(lines), BATCH):
        reference.encode_batch(lines[start : start + BATCH])


def _rows(batch):
    values, splits = batch.values.numpy().tolist(), batch.row_splits.numpy().tolist()
    return [values[a:b] for a, b in itertools.pairwise(splits)]


def _seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _contenders(kind, cache):
    """Our tokenizer and the reference, of the same files."""
    import tokenizers
    from tokenizers import models, pre_tokenizers

    from zoo.data.samples import fetch
    from zoo.tokenizers import Tokenizer

    name = dict(zip(KINDS, ("gpt2-tokenizer", "minilm", "t5-tokenizer"), strict=True))[
        kind
    ]
    path = fetch(name, cache=cache)
    if name == "gpt2-tokenizer":
        files = [str(path / file) for file in ("vocab.json", "merges.txt")]
        reference = tokenizers.Tokenizer(models.BPE.from_file(*files))
        reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        reference.add_special_tokens(["<|endoftext|>"])
    else:
        reference = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
        reference.no_padding()
        reference.no_truncation()
    return Tokenizer.from_pretrained(path), reference


def _texts(megabytes, cache):
    """Kind of text -> lines: an English novel and Python code."""
    import sysconfig

    from zoo.data.samples import fetch

    novel = (fetch("sentencepiece-models", cache=cache) / "botchan.txt").read_text(
        "utf-8"
    )
    library = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    code = "\n".join(path.read_text("utf-8", "replace") for path in library)
    texts = {"English": novel, "code": code}
    return {name: _enough(text, megabytes) for name, text in texts.items()}


def _enough(text, megabytes):
    """Lines of a text, as often as it takes to come to a size."""
    lines = [line for line in text.split("\n") if line]
    size = sum(len(line.encode()) for line in lines)
    return (lines * (int(megabytes * 1e6) // size + 1))[
        : int(megabytes * 1e6 / size * len(lines))
    ]


if __name__ == "__main__":
    main()
