"""Builds the pipeline of a tokenizer out of its checked description."""

from zoo.errors import TokenizerError
from zoo.tokenizers import (
    fields,
    normalizers,
    pre_tokenizers,
    unigram,
    vocabularies,
)
from zoo.tokenizers import merges as merging
from zoo.tokenizers.byte_level_bpe import ByteLevelBpe
from zoo.tokenizers.pipeline import Pipeline
from zoo.tokenizers.sentencepiece_bpe import SentencePieceBpe
from zoo.tokenizers.sentencepiece_files import NativeSentencePiece
from zoo.tokenizers.wordpiece import WordPiece
from zoo.tokenizers.words import MarkedWords, Words

MODEL = "tokenizer.json: model"


def build(spec):
    """The pipeline for a `Spec`.

    Returns:
        `(pipeline, vocabulary)`: the latter piece -> id without added tokens.

    Raises:
        TokenizerError: naming what cannot be honoured.
    """
    kind = spec.model.get("type") or _guessed_type(spec.model)
    if kind not in _BUILDERS:
        raise fields.not_supported(MODEL, kind, _BUILDERS)
    return _BUILDERS[kind](spec)


def _guessed_type(model):
    """Files of before 2020 do not name the type; what they hold tells it."""
    if isinstance(model.get("vocab"), list):
        return "Unigram"
    return "BPE" if "merges" in model else "WordPiece"


def _word_piece(spec):
    known = {
        "vocab": (dict, fields.REQUIRED),
        "unk_token": (str, "[UNK]"),
        "continuing_subword_prefix": (str, "##"),
        "max_input_chars_per_word": (int, 100),
    }
    options = fields.options(spec.model, MODEL, known)
    vocabulary = vocabularies.vocabulary(options["vocab"])
    before = pre_tokenizers.read(spec.pre_tokenizer)
    normalize = normalizers.read(spec.normalizer)
    words, per_word = Words(before.steps), None
    exact = normalize, words
    late = any(token.normalized for token in spec.added_tokens)
    if before.bert and _is_bert(spec.normalizer) and not late:
        # Each different word is normalised once, instead of the whole text.
        normalize = None
        per_word, words = normalizers.bert_words(spec.normalizer)
    model = WordPiece(
        vocabulary,
        unknown=options["unk_token"],
        prefix=options["continuing_subword_prefix"],
        max_characters=options["max_input_chars_per_word"],
        normalize=per_word,
    )
    return Pipeline(model, words, spec.added_tokens, normalize, exact), vocabulary


def _is_bert(section):
    return section is not None and section.get("type") == "BertNormalizer"


def _bpe(spec):
    known = {
        "vocab": (dict, fields.REQUIRED),
        "merges": (list, fields.REQUIRED),
        "dropout": ((int, float), None),
        "unk_token": (str, None),
        "continuing_subword_prefix": (str, None),
        "end_of_word_suffix": (str, None),
        "fuse_unk": (bool, False),
        "byte_fallback": (bool, False),
        "ignore_merges": (bool, False),
    }
    options = fields.options(spec.model, MODEL, known)
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if options[name]:
            given = f"{name}={options[name]!r}"
            raise fields.not_supported(MODEL, given, ["files without it"])
    vocabulary = vocabularies.vocabulary(options["vocab"])
    merges = merging.read(options["merges"], vocabulary)
    before = pre_tokenizers.read(spec.pre_tokenizer)
    normalize = normalizers.read(spec.normalizer)
    if before.byte_level:
        model = ByteLevelBpe(
            vocabulary,
            merges,
            unknown=options["unk_token"],
            whole_words=options["ignore_merges"],
        )
        words = Words(before.steps)
    else:
        if options["ignore_merges"]:
            raise fields.not_supported(MODEL, "ignore_merges", ["it with ByteLevel"])
        model = SentencePieceBpe(
            vocabulary,
            merges,
            unknown=options["unk_token"],
            byte_fallback=options["byte_fallback"],
            fuse_unknown=options["fuse_unk"],
        )
        words = Words([*before.steps, *model.cuts])
    return Pipeline(model, words, spec.added_tokens, normalize), vocabulary


def _unigram(spec):
    known = {
        "vocab": (list, fields.REQUIRED),
        "unk_id": (int, fields.REQUIRED),
        "byte_fallback": (bool, False),
    }
    options = fields.options(spec.model, MODEL, known)
    vocabulary = unigram.read(options["vocab"])
    unknown = options["unk_id"]
    if not 0 <= unknown < len(vocabulary):
        raise TokenizerError(f"{MODEL}: unk_id {unknown} is not in the vocabulary.")
    before = pre_tokenizers.read(spec.pre_tokenizer)
    if before.byte_level:
        raise fields.not_supported(MODEL, "Unigram with ByteLevel", ["Metaspace"])
    quick = MarkedWords.of(before.steps)
    model = unigram.Unigram(
        options["vocab"],
        unknown=unknown,
        byte_fallback=options["byte_fallback"],
        prepare=None if quick is None else quick.marked,
    )
    normalize = normalizers.read(spec.normalizer)
    words = Words(before.steps)
    exact = normalize, words
    quick = quick or words
    return Pipeline(model, quick, spec.added_tokens, normalize, exact), vocabulary


def _sentencepiece(spec):
    model = NativeSentencePiece(spec.model["data"])
    return Pipeline(model, Words([]), spec.added_tokens), spec.model["vocab"]


_BUILDERS = {
    "WordPiece": _word_piece,
    "BPE": _bpe,
    "Unigram": _unigram,
    "SentencePiece": _sentencepiece,
}
