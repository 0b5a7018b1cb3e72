"""Builds the pipeline of a tokenizer out of its checked description."""

from zoo.tokenizers import character_map, fields, pre_tokenizers, vocabularies
from zoo.tokenizers import merges as merging
from zoo.tokenizers.byte_level_bpe import ByteLevelBpe
from zoo.tokenizers.normalizers import Characters, bert_tables
from zoo.tokenizers.pipeline import Pipeline
from zoo.tokenizers.wordpiece import WordPiece
from zoo.tokenizers.words import BertWords, Words

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
    steps, chinese = bert_tables(spec.normalizer) if spec.normalizer else ([], ())
    table = character_map.compose(*(s for s in steps if isinstance(s, dict)))
    model = WordPiece(
        vocabulary,
        unknown=options["unk_token"],
        prefix=options["continuing_subword_prefix"],
        max_characters=options["max_input_chars_per_word"],
        normalize=Characters(steps),
    )
    return Pipeline(model, BertWords(table, chinese), spec.added_tokens), vocabulary


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
            raise fields.not_supported(
                MODEL, f"{name}={options[name]!r}", ["none of it"]
            )
    vocabulary = vocabularies.vocabulary(options["vocab"])
    merges = merging.read(options["merges"], vocabulary)
    before = pre_tokenizers.read(spec.pre_tokenizer)
    if not before.byte_level:
        raise fields.not_supported(MODEL, "BPE without ByteLevel", ["ByteLevel"])
    model = ByteLevelBpe(vocabulary, merges, whole_words=options["ignore_merges"])
    words = Words(before.steps)
    return Pipeline(model, words, spec.added_tokens, None), vocabulary


_BUILDERS = {"BPE": _bpe, "WordPiece": _word_piece}
