"""New vocabularies from text, in the form of BERT's, GPT-2's and T5's tokenizers.

`tokenizers` and SentencePiece learn them. What is made here are their settings, and the
files that transformers and `zoo.Tokenizer` read alike. The same texts give the same
files; hence words are counted here and handed over in order.
"""

import io
import json
from collections import Counter
from typing import Any

from zoo.errors import TokenizerError

KINDS = ("wordpiece", "bpe", "unigram")
SENTINELS = 100  # <extra_id_0> ... of T5, in whose place removed spans are written
LONGEST_TEXT = 1 << 27  # bytes; SentencePiece leaves longer ones out


def train_files(
    texts,
    *,
    kind,
    vocab_size,
    lowercase=False,
    min_frequency=2,
    extra_ids=None,
    special_tokens=(),
    max_length=None,
):
    """The files of a new tokenizer: name -> bytes.

    | kind | pieces | special tokens |
    |---|---|---|
    | "wordpiece" | as BERT's: words, `##` within one; a Chinese character is a word | \
`[PAD] [UNK] [CLS] [SEP] [MASK]` |
    | "bpe" | as GPT-2's: of bytes, so that nothing is unknown | `<|endoftext|>` |
    | "unigram" | as T5's: of characters in SentencePiece's NFKC form | \
`<pad> </s> <unk>`, and `<extra_id_99> ... <extra_id_0>` at the end |

    Args:
        texts: Iterable of str; it is read once.
        kind: "wordpiece", "bpe" or "unigram".
        vocab_size: Ids, special tokens included, at most.
        lowercase: Whether case is dropped; for "wordpiece", accents go with it.
        min_frequency: Pairs of pieces that come less often are not joined; "wordpiece"
            and "bpe".
        extra_ids: How many sentinels there are, of "unigram"; None: 100, or fewer where
            the vocabulary is small.
        special_tokens: Further ones, such as those of a chat format.
        max_length: Most tokens that the model takes, or None.

    Raises:
        TokenizerError: if there is no text, an option does not fit, or the vocabulary
            has no room for what the texts are made of.
    """
    _check(kind, vocab_size, min_frequency, extra_ids)
    if kind == "unigram":
        if extra_ids is None:
            extra_ids = min(SENTINELS, vocab_size // 10)
    elif extra_ids:
        raise TokenizerError(
            f"extra_ids={extra_ids}: only kind 'unigram' has sentinels. Name further "
            "special tokens with special_tokens."
        )
    further = [token for token in dict.fromkeys(special_tokens) if token]
    make = {"wordpiece": _wordpiece, "bpe": _bpe, "unigram": _unigram}[kind]
    room = vocab_size - (extra_ids or 0)
    if kind == "unigram":
        room -= len(further)
    texts = _Checked(texts)
    try:
        tokenizer, config = make(texts, room, lowercase, min_frequency, further)
    except BaseException as error:
        # What the library cannot do it says by a PanicException, which is no Exception.
        own = isinstance(error, Exception) or type(error).__name__ == "PanicException"
        if texts.error is not None:
            raise texts.error from None
        if not own or isinstance(error, TokenizerError):
            raise
        raise TokenizerError(
            f"vocab_size={vocab_size}: no {kind} vocabulary could be learnt from these "
            f"texts ({_reason(error)}). Give more text, or another vocab_size."
        ) from error
    if kind == "unigram":
        sentinels = [f"<extra_id_{i}>" for i in reversed(range(extra_ids))]
        tokenizer.add_special_tokens([*further, *sentinels])
        further += sentinels[::-1]
    found = tokenizer.get_vocab_size()
    if found > vocab_size:
        raise TokenizerError(
            f"vocab_size={vocab_size}: the texts have so many different characters "
            f"that {found} ids are needed. Allow more."
        )
    if further:
        config["additional_special_tokens"] = further
    if max_length is not None:
        config["model_max_length"] = int(max_length)
    # The class that takes tokenizer.json as it is.
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    text = json.dumps(config, ensure_ascii=False, indent=2)
    return {
        "tokenizer.json": tokenizer.to_str(pretty=True).encode(),
        "tokenizer_config.json": f"{text}\n".encode(),
    }


def _check(kind, vocab_size, min_frequency, extra_ids):
    if kind not in KINDS:
        raise TokenizerError(f"kind={kind!r}: expected one of {', '.join(KINDS)}.")
    least = 257 if kind == "bpe" else 16
    if not isinstance(vocab_size, int) or vocab_size < least:
        why = "256 bytes and a special token" if kind == "bpe" else "special tokens"
        raise TokenizerError(
            f"vocab_size={vocab_size!r}: expected a whole number from {least} on, for "
            f"{why} are among the ids."
        )
    if min_frequency < 1:
        raise TokenizerError(f"min_frequency={min_frequency}: expected 1 or more.")
    if extra_ids is not None and not 0 <= extra_ids <= vocab_size // 2:
        raise TokenizerError(
            f"extra_ids={extra_ids}: expected 0 to {vocab_size // 2}, half of the ids."
        )


def _wordpiece(texts, vocab_size, lowercase, min_frequency, further):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers import trainers as training

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *further]
    words: Counter[str] = Counter()
    for text in texts:
        text = tokenizer.normalizer.normalize_str(text)
        pieces = tokenizer.pre_tokenizer.pre_tokenize_str(text)
        words.update(word for word, _ in pieces)
    texts.check_some()
    # Each character may need a second id, for inside a word; rare ones become [UNK]
    # rather than leave no room for words.
    first, inside = _characters(words, (vocab_size - len(special)) // 2)
    trainer = training.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        # Left to itself, the trainer numbers those inside of words in any order.
        special_tokens=[*special, *first, *(f"##{c}" for c in inside)],
        initial_alphabet=first,
        limit_alphabet=len(first),
        show_progress=False,
    )
    repeated = (" ".join([word] * count) for word, count in words.items())
    tokenizer.train_from_iterator(repeated, trainer)
    spec = json.loads(tokenizer.to_str())
    spec["added_tokens"] = [t for t in spec["added_tokens"] if t["content"] in special]
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    _frame(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    names = ("pad", "unk", "cls", "sep", "mask")
    config: dict = {f"{n}_token": t for n, t in zip(names, special, strict=False)}
    config["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    return tokenizer, config


def _characters(words, limit):
    """The most frequent characters of words, and those of them that stand inside."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    kept = sorted(sorted(counts), key=lambda c: -counts[c])[: max(limit, 1)]
    inside = {c for word in words for c in word[1:]} & set(kept)
    return sorted(kept), sorted(inside)


def _bpe(texts, vocab_size, lowercase, min_frequency, further):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers import processors as processing
    from tokenizers import trainers as training

    tokenizer = Tokenizer(models.BPE())
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processing.ByteLevel(trim_offsets=False)
    end = "<|endoftext|>"
    trainer = training.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=[end, *further],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    texts.check_some()
    config = {"bos_token": end, "eos_token": end, "unk_token": end}
    return tokenizer, {**config, "model_input_names": ["input_ids", "attention_mask"]}


def _unigram(texts, vocab_size, lowercase, min_frequency, further):
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers
    from tokenizers import pre_tokenizers as before

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=written,
        model_type="unigram",
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        max_sentence_length=LONGEST_TEXT,
        normalization_rule_name="nmt_nfkc_cf" if lowercase else "nmt_nfkc",
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        pad_piece="<pad>",
        minloglevel=2,
    )
    texts.check_some()
    formats: Any = sentencepiece_model_pb2  # it makes its classes when imported
    model = formats.ModelProto.FromString(written.getvalue())
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap),
            normalizers.Strip(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = before.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    _frame(tokenizer, "$A </s>", "$A </s> $B </s>")
    config = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return tokenizer, {**config, "model_input_names": ["input_ids", "attention_mask"]}


def _frame(tokenizer, single, pair):
    """Has special tokens put around texts."""
    from tokenizers import processors

    names = {part.split(":")[0] for part in pair.split() if part[0] != "$"}
    special = [(name, tokenizer.token_to_id(name)) for name in sorted(names)]
    tokenizer.post_processor = processors.TemplateProcessing(single, pair, special)


def _reason(error):
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason given"


class _Checked:
    """Texts on their way to a library, through which no error comes as it was.

    Attributes:
        error: What went wrong among the texts, or None.
    """

    def __init__(self, texts):
        self.texts = texts
        self.characters = 0
        self.error = None

    def __iter__(self):
        try:
            for text in self.texts:
                if not isinstance(text, str):
                    raise TokenizerError(
                        f"texts: expected str, got {type(text).__name__}."
                    )
                self.characters += len(text.strip())
                # The libraries take no half of a surrogate pair.
                yield text.encode("utf-8", "replace").decode()
            self.check_some()
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise

    def check_some(self):
        if not self.characters:
            raise TokenizerError("There is no text to learn a vocabulary from.")
