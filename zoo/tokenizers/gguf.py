"""The tokenizer of a GGUF file, brought to tokenizer.json and tokenizer_config.json.

GGUF files hold pieces, merges or scores, and the name of how text is split; see
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer. What the names
stand for is what llama.cpp's converter was given, a tokenizer.json.
"""

import json

from zoo.errors import TokenizerError
from zoo.tokenizers import fields, patterns
from zoo.tokenizers.formats import around
from zoo.tokenizers.sentencepiece_bpe import BYTE_TOKENS, MARK

PREFIX = "tokenizer.ggml."
TEMPLATE = "tokenizer.chat_template"

# Types of pieces.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

# Nobody's piece is longer; every way to split one is looked at.
LONGEST_PIECE = 512

# Special tokens of tokenizer_config.json -> settings that have their ids.
SPECIAL = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "unk": "unknown_token_id",
    "sep": "seperator_token_id",
    "pad": "padding_token_id",
    "cls": "cls_token_id",
    "mask": "mask_token_id",
}
HONOURED = {
    *("model pre tokens token_type scores merges add_bos_token add_eos_token").split(),
    *("add_space_prefix remove_extra_whitespaces precompiled_charsmap").split(),
    *SPECIAL.values(),
}
# Ids that no text becomes by itself, and sizes.
HARMLESS = {
    *"eot_token_id eom_token_id token_type_count add_sep_token".split(),
    *(f"fim_{part}_token_id" for part in "pre suf mid pad rep sep".split()),
    *"prefix_token_id suffix_token_id middle_token_id".split(),
}

_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}


def _split(regex, *before):
    """Steps before the bytes: those given, and a cut by a pattern of GPT-2's heirs."""
    if regex == patterns.GPT2:
        return [*before, {**_LEVEL, "use_regex": True}]
    cut = {
        "type": "Split",
        "pattern": {"Regex": regex},
        "behavior": "Isolated",
        "invert": False,
    }
    return [*before, cut, {**_LEVEL, "use_regex": False}]


_DIGITS = {"type": "Digits", "individual_digits": True}
_GPT2 = _split(patterns.GPT2)
_SINGLE_DIGITS = _split(patterns.GPT2, _DIGITS)
_LLAMA3 = _split(patterns.LLAMA3)
_QWEN2 = _split(patterns.QWEN2)

# How text is split, by the name that llama.cpp's converter gives to it.
PRE_TOKENIZERS = {
    **dict.fromkeys(("default", "gpt-2", "phi-2", "olmo", "jais"), _GPT2),
    **dict.fromkeys(
        ("smollm", "starcoder", "refact", "command-r", "codeshell"), _SINGLE_DIGITS
    ),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3"), _LLAMA3),
    **dict.fromkeys(("dbrx", "smaug-bpe"), _LLAMA3),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "stablelm2"), _QWEN2),
    "gpt-4o": _split(patterns.O200K),
}
# Those with which a word that is a piece is taken whole, and <bos> is put before.
WHOLE_WORDS = {"llama-bpe", "llama3", "llama-v3", "falcon3"}
NORMALIZED = {"qwen2", "deepseek-r1-qwen"}


def files(settings):
    """Tokenizer files that say what a GGUF file says.

    Args:
        settings: Mapping of key to value, as `GgufCheckpoint.settings`.

    Returns:
        Name -> bytes, for `Tokenizer.from_files`.

    Raises:
        TokenizerError: naming the setting that is missing or cannot be honoured.
    """
    given = _Given(settings)
    kind = given.get("model", str)
    if kind not in _BUILDERS:
        raise fields.not_supported(f"{PREFIX}model", kind, _BUILDERS)
    tokens = given.texts("tokens")
    vocabulary = {token: i for i, token in enumerate(tokens)}
    if len(vocabulary) < len(tokens):
        repeated = next(t for i, t in enumerate(tokens) if vocabulary[t] != i)
        raise TokenizerError(
            f"{PREFIX}tokens: {repeated!r} stands there twice. A piece has one id."
        )
    types = given.get("token_type", list, [NORMAL] * len(tokens))
    if len(types) != len(tokens):
        raise TokenizerError(
            f"{PREFIX}token_type has {len(types)} entries for {len(tokens)} tokens."
        )
    special = given.special(tokens)
    is_special = {*special.values()} | {
        t for t, kind in zip(tokens, types, strict=True) if kind in (UNKNOWN, CONTROL)
    }
    is_added = is_special | {
        t for t, kind in zip(tokens, types, strict=True) if kind == USER_DEFINED
    }
    sections, adds_bos = _BUILDERS[kind](given, vocabulary, types, special, is_added)
    before, after = (
        [special.get(name)] if given.get(f"add_{name}_token", bool, default) else []
        for name, default in (("bos", adds_bos), ("eos", False))
    )
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": i,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": token in is_special,
            }
            for i, token in enumerate(tokens)
            if token in is_added
        ],
        "post_processor": around(before, after, vocabulary)
        if any([*before, *after])
        else None,
        **sections,
    }
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **{f"{name}_token": token for name, token in special.items()},
        **given.length(),
        **given.template(),
    }
    return {
        "tokenizer.json": json.dumps(document, ensure_ascii=False).encode(),
        "tokenizer_config.json": json.dumps(config, ensure_ascii=False).encode(),
    }


class _Given:
    """The settings of a file, read strictly."""

    def __init__(self, settings):
        self._settings = settings
        for key in settings:
            name = key.removeprefix(PREFIX)
            if name != key and name not in HONOURED | HARMLESS:
                raise TokenizerError(
                    f"{key}: zoo does not know this setting, and ignoring it could "
                    "change the ids. Set model.tokenizer to one that was read from a "
                    "Hugging Face directory."
                )

    def get(self, name, kind, default=fields.REQUIRED):
        known = {name: (kind, default)}
        there = {
            key: self._settings[f"{PREFIX}{key}"]
            for key in known
            if f"{PREFIX}{key}" in self._settings
        }
        return fields.options(there, PREFIX[:-1], known)[name]

    def texts(self, name):
        """A list of texts that are not empty."""
        found = self.get(name, list)
        if not found or not all(isinstance(text, str) and text for text in found):
            raise TokenizerError(
                f"{PREFIX}{name}: a list of texts that are not empty is expected."
            )
        return found

    def special(self, tokens):
        """ "bos", "eos", ... -> token."""
        found = {}
        for name, key in SPECIAL.items():
            i = self.get(key, int, None)
            if i is None:
                continue
            if not 0 <= i < len(tokens):
                raise TokenizerError(
                    f"{PREFIX}{key} is {i}, which is not one of {len(tokens)} tokens."
                )
            found[name] = tokens[i]
        return found

    def length(self):
        """How many tokens the model takes, as tokenizer_config.json says it."""
        name = f"{self._settings.get('general.architecture')}.context_length"
        length = self._settings.get(name)
        return {"model_max_length": length} if isinstance(length, int) else {}

    def template(self):
        """The chat template; a list where there are several, each with its name."""
        main = self._settings.get(TEMPLATE)
        named = {
            key.removeprefix(f"{TEMPLATE}."): self._settings[key]
            for key in self._settings
            if key.startswith(f"{TEMPLATE}.")
        }
        if main is None and not named:
            return {}
        if not named:
            return {"chat_template": main}
        both = {"default": main, **named} if main is not None else named
        return {"chat_template": [{"name": n, "template": t} for n, t in both.items()]}


def _byte_level(given, vocabulary, types, special, added):
    """ "gpt2": BPE on bytes, with a list of merges."""
    pre = given.get("pre", str, "default")
    if pre not in PRE_TOKENIZERS:
        raise fields.not_supported(f"{PREFIX}pre", pre, PRE_TOKENIZERS)
    steps = PRE_TOKENIZERS[pre]
    if given.get("add_space_prefix", bool, False):
        if len(steps) > 1:
            raise fields.not_supported(
                f"{PREFIX}add_space_prefix", f"true with {pre}", ["false"]
            )
        steps = [{**steps[0], "add_prefix_space": True}]
    sections = {
        "normalizer": {"type": "NFC"} if pre in NORMALIZED else None,
        "pre_tokenizer": (
            steps[0]
            if len(steps) == 1
            else {"type": "Sequence", "pretokenizers": steps}
        ),
        "decoder": {**_LEVEL, "use_regex": True},
        "model": {
            **_BPE,
            "ignore_merges": pre in WHOLE_WORDS,
            "vocab": vocabulary,
            "merges": given.texts("merges"),
        },
    }
    return sections, pre in WHOLE_WORDS


def _sentencepiece(given, vocabulary, types, special, added):
    """ "llama": SentencePiece's BPE, whose merges follow from the scores of pieces."""
    if given.get("remove_extra_whitespaces", bool, False):
        name = f"{PREFIX}remove_extra_whitespaces"
        raise fields.not_supported(name, "true", ["false"])
    if given.get("precompiled_charsmap", list, []):
        name = f"{PREFIX}precompiled_charsmap"
        raise fields.not_supported(name, "a normaliser", ["none"])
    scores = given.get("scores", list)
    if len(scores) != len(types) or not all(abs(s) < 1e30 for s in scores):
        raise TokenizerError(
            f"{PREFIX}scores: one finite number is expected for each of {len(types)} "
            "tokens."
        )
    pieces = {
        token: -score
        for token, kind, score in zip(vocabulary, types, scores, strict=True)
        if kind in (NORMAL, UNUSED) and token not in added
    }
    prefix = given.get("add_space_prefix", bool, True)
    marks = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
    back = {"type": "Replace", "pattern": {"String": MARK}, "content": " "}
    decoders = [back, {"type": "ByteFallback"}, {"type": "Fuse"}]
    if prefix:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    start = [{"type": "Prepend", "prepend": MARK}] if prefix else []
    sections = {
        "normalizer": {"type": "Sequence", "normalizers": [*start, marks]},
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            **_BPE,
            "unk_token": special.get("unk", _first(vocabulary, types, UNKNOWN)),
            "fuse_unk": True,
            "byte_fallback": set(BYTE_TOKENS) <= vocabulary.keys(),
            "vocab": vocabulary,
            "merges": _merges(pieces, vocabulary),
        },
    }
    return sections, True


def _merges(pieces, vocabulary):
    """Every pair of pieces that makes a piece, best first.

    Args:
        pieces: Piece -> minus its score.
        vocabulary: Piece -> id.
    """
    found = []
    for piece, cost in pieces.items():
        if len(piece) > LONGEST_PIECE:
            raise TokenizerError(
                f"{PREFIX}tokens: {fields.shown(piece)} has {len(piece):,} characters; "
                f"at most {LONGEST_PIECE} are read."
            )
        for at in range(1, len(piece)):
            left, right = piece[:at], piece[at:]
            if left in pieces and right in pieces:
                found.append((cost, vocabulary[piece], at, [left, right]))
    found.sort(key=lambda merge: merge[:3])
    return [pair for *_, pair in found]


def _first(vocabulary, types, kind):
    """The first piece of a type, or None."""
    return next((t for t, k in zip(vocabulary, types, strict=True) if k == kind), None)


_BPE = {
    "type": "BPE",
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}
_BUILDERS = {"gpt2": _byte_level, "llama": _sentencepiece}
