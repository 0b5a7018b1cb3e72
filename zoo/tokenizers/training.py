"""New vocabularies from text, in the form of BERT's, GPT-2's and T5's tokenizers.

`tokenizers` learns them. What is made here are its settings, and the files that it and
`zoo.Tokenizer` read alike.
"""

import json

from zoo.errors import TokenizerError

KINDS = ("wordpiece", "bpe", "unigram")
SENTINELS = 100  # <extra_id_0> ... of T5, in whose place removed spans are written
LONGEST_PIECE = 16  # characters, of Unigram; SentencePiece's own limit


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
    | "unigram" | as T5's: of characters after NFKC, `▁` for a space | \
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
    tokenizer, trainer, config = make(room, lowercase, min_frequency, further)
    _run(tokenizer, trainer, texts, kind)
    if kind == "wordpiece":
        _frame(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    elif kind == "unigram":
        _frame(tokenizer, "$A </s>", "$A </s> $B </s>")
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


def _wordpiece(vocab_size, lowercase, min_frequency, further):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers import trainers as training

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *further]
    trainer = training.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=special,
        # Each character may need a second id, for inside a word; rare ones become
        # [UNK] rather than leave no room for words.
        limit_alphabet=max((vocab_size - len(special)) // 2, 1),
        show_progress=False,
    )
    names = ("pad", "unk", "cls", "sep", "mask")
    config = {f"{n}_token": t for n, t in zip(names, special, strict=False)}
    config["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    return tokenizer, trainer, config


def _bpe(vocab_size, lowercase, min_frequency, further):
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )

    tokenizer = Tokenizer(models.BPE())
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    end = "<|endoftext|>"
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=[end, *further],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    config = {"bos_token": end, "eos_token": end, "unk_token": end}
    config["model_input_names"] = ["input_ids", "attention_mask"]
    return tokenizer, trainer, config


def _unigram(vocab_size, lowercase, min_frequency, further):
    from tokenizers import (
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )

    tokenizer = Tokenizer(models.Unigram())
    steps = [normalizers.Nmt(), normalizers.NFKC()]
    if lowercase:
        steps.append(normalizers.Lowercase())
    steps.append(normalizers.Replace(Regex(" {2,}"), " "))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        max_piece_length=LONGEST_PIECE,
        show_progress=False,
    )
    config = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    config["model_input_names"] = ["input_ids", "attention_mask"]
    return tokenizer, trainer, config


def _frame(tokenizer, single, pair):
    """Has special tokens put around texts."""
    from tokenizers import processors

    names = {part.split(":")[0] for part in pair.split() if part[0] != "$"}
    special = [(name, tokenizer.token_to_id(name)) for name in sorted(names)]
    tokenizer.post_processor = processors.TemplateProcessing(single, pair, special)


def _run(tokenizer, trainer, texts, kind):
    counted = _Counted(texts)
    try:
        tokenizer.train_from_iterator(counted, trainer)
    except BaseException as error:
        # What the library cannot do it says by a PanicException, which is no Exception.
        if counted.failed or type(error).__name__ not in (
            "Exception",
            "PanicException",
        ):
            raise
        raise TokenizerError(
            f"No {kind} vocabulary could be learnt from these texts "
            f"({str(error).splitlines()[0] if str(error) else 'no reason given'}). "
            "Give more text, or a smaller vocab_size."
        ) from error
    if not counted.characters:
        raise TokenizerError("There is no text to learn a vocabulary from.")


class _Counted:
    """Texts on their way to the trainer: checked, and counted."""

    def __init__(self, texts):
        self.texts = texts
        self.characters = 0
        self.failed = False

    def __iter__(self):
        try:
            for text in self.texts:
                if not isinstance(text, str):
                    raise TokenizerError(
                        f"texts: expected str, got {type(text).__name__}."
                    )
                self.characters += len(text.strip())
                # The library takes no half of a surrogate pair.
                yield text.encode("utf-8", "replace").decode()
        except BaseException:
            self.failed = True
            raise
