"""The files of a tokenizer: every format is brought to the layout of tokenizer.json."""

from dataclasses import dataclass, field

from zoo.errors import TokenizerError
from zoo.files import parse_json, read_bytes
from zoo.tokenizers import fields, sentencepiece_files
from zoo.tokenizers.added_tokens import AddedToken

MB = 1 << 20

# Name -> most bytes. The largest real ones: tokenizer.json 34 MB (Gemma), models 5 MB.
FILES = {
    "tokenizer.json": 64 * MB,
    "tokenizer_config.json": 16 * MB,
    "special_tokens_map.json": MB,
    "added_tokens.json": 16 * MB,
    "vocab.txt": 32 * MB,
    "vocab.json": 32 * MB,
    "merges.txt": 32 * MB,
    "spiece.model": 32 * MB,
    "tokenizer.model": 32 * MB,
    "chat_template.jinja": MB,
}
LARGEST_VOCABULARY = 1 << 21

SPECIAL_NAMES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")

# What a special token is for, where no tokenizer_config.json says it.
_WELL_KNOWN = {
    "[UNK]": ("unk",),
    "[SEP]": ("sep",),
    "[PAD]": ("pad",),
    "[CLS]": ("cls",),
    "[MASK]": ("mask",),
    "<s>": ("bos",),
    "</s>": ("eos",),
    "<unk>": ("unk",),
    "<pad>": ("pad",),
    "<mask>": ("mask",),
    "<|endoftext|>": ("bos", "eos", "unk"),
}


@dataclass(frozen=True)
class Spec:
    """A tokenizer in the layout of tokenizer.json, and what the other files add.

    Attributes:
        model, normalizer, pre_tokenizer, post_processor, decoder: The sections, as
            JSON objects or None; not checked yet.
        added_tokens: In the order of their ids.
        special: "bos", "eos", ... -> token.
        config: tokenizer_config.json, or {}.
        chat_template: Jinja source; a dictionary of several by name; or None.
    """

    model: dict
    normalizer: dict | None = None
    pre_tokenizer: dict | None = None
    post_processor: dict | None = None
    decoder: dict | None = None
    added_tokens: tuple[AddedToken, ...] = ()
    special: dict = field(default_factory=dict)
    config: dict = field(default_factory=dict)
    chat_template: str | dict[str, str] | None = None


def read_files(directory):
    """The tokenizer files of a directory: name -> bytes."""
    return {
        name: read_bytes(directory / name, limit=limit, error=TokenizerError)
        for name, limit in FILES.items()
        if (directory / name).is_file()
    }


def read_spec(files):
    """Reads tokenizer files.

    Args:
        files: Name -> bytes, names as in `FILES`.

    Returns:
        `Spec`. Of several formats tokenizer.json is taken before the older ones.

    Raises:
        TokenizerError: naming the file, if none is there or one is damaged.
    """
    _check_files(files)
    config = _json(files, "tokenizer_config.json")
    special = _special_tokens(config, _json(files, "special_tokens_map.json"))
    for name, read in _READERS.items():
        if name in files:
            found = read(files, config, special)
            break
    else:
        raise TokenizerError(
            f"no tokenizer file: found {', '.join(sorted(files)) or 'nothing'}, "
            f"expected one of {', '.join(_READERS)}. Is this the right directory?"
        )
    added = _added_tokens(found.pop("added_tokens", []), config, files, special, found)
    if not special:
        special = _guessed(added, found["model"])
    return Spec(
        **found,
        added_tokens=added,
        special=special,
        config=config,
        chat_template=_chat_template(config, files),
    )


def _check_files(files):
    for name, data in files.items():
        if name not in FILES:
            raise TokenizerError(
                f"{name!r} is not a tokenizer file. Known are: {', '.join(FILES)}."
            )
        if not isinstance(data, bytes) or len(data) > FILES[name]:
            raise TokenizerError(f"{name}: expected at most {FILES[name]:,} bytes.")


def _json(files, name):
    return parse_json(files[name], name, TokenizerError) if name in files else {}


# --- One reader for each format ------------------------------------------------------


def _tokenizer_json(files, config, special):
    where = "tokenizer.json"
    data = _json(files, where)
    sections = (dict, type(None))
    known = {
        "version": (str, "1.0"),
        # How a call pads and truncates is for the call to say.
        "truncation": (sections, None),
        "padding": (sections, None),
        "added_tokens": (list, []),
        "normalizer": (sections, None),
        "pre_tokenizer": (sections, None),
        "post_processor": (sections, None),
        "decoder": (sections, None),
        "model": (dict, fields.REQUIRED),
    }
    found = fields.options(data, where, known)
    if found["version"] != "1.0":
        raise TokenizerError(f"{where}: version {found['version']!r}, expected '1.0'.")
    return {
        k: v for k, v in found.items() if k not in ("version", "truncation", "padding")
    }


def _vocab_txt(files, config, special):
    """BERT's vocab.txt, one piece a line; tokenizer_config.json has the options."""
    where = "tokenizer_config.json"
    lower = _flag(config, "do_lower_case", True, where)
    accents = config.get("strip_accents")
    if accents is not None and not isinstance(accents, bool):
        raise TokenizerError(f"{where}: 'strip_accents' is {fields.shown(accents)}.")
    vocabulary = _lines(files["vocab.txt"], "vocab.txt")
    for name in ("unk", "sep", "pad", "cls", "mask"):
        special.setdefault(name, f"[{name.upper()}]")
    missing = [t for t in special.values() if t not in vocabulary]
    added = {t["content"] for t in config.get("added_tokens_decoder", {}).values()}
    for token in missing:
        if token not in added and token in (
            special["unk"],
            special["cls"],
            special["sep"],
        ):
            raise TokenizerError(f"vocab.txt: the special token {token!r} is missing.")
    special_ids = {special[n]: vocabulary.get(special[n], 0) for n in ("cls", "sep")}
    return {
        "model": {
            "type": "WordPiece",
            "vocab": vocabulary,
            "unk_token": special["unk"],
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
        },
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": _flag(
                config, "tokenize_chinese_chars", True, where
            ),
            "strip_accents": accents,
            "lowercase": lower,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "BertProcessing",
            "sep": [special["sep"], special_ids[special["sep"]]],
            "cls": [special["cls"], special_ids[special["cls"]]],
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "added_tokens": [
            _plain(token, vocabulary[token])
            for token in special.values()
            if token in vocabulary
        ],
    }


def _vocab_and_merges(files, config, special):
    """GPT-2's vocab.json and merges.txt."""
    if "merges.txt" not in files:
        raise TokenizerError(
            "vocab.json is there, but merges.txt is not. Fetch it too."
        )
    vocabulary = _json(files, "vocab.json")
    lines = _text(files["merges.txt"], "merges.txt").split("\n")
    merges = [m for m in lines if m.strip() and not m.startswith("#version")]
    space = _flag(config, "add_prefix_space", False, "tokenizer_config.json")
    for name in ("bos", "eos", "unk"):
        special.setdefault(name, "<|endoftext|>")
    level = {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": False}
    return {
        "model": {"type": "BPE", "vocab": vocabulary, "merges": merges},
        "pre_tokenizer": level,
        "post_processor": level,
        "decoder": level,
        "added_tokens": [
            _plain(token, vocabulary[token])
            for token in dict.fromkeys(special.values())
            if token in vocabulary
        ],
    }


def _sentencepiece(name):
    def read(files, config, special):
        """A model of SentencePiece; special tokens as T5 and Llama have them."""
        pieces, trainer = sentencepiece_files.read(files[name], name)
        vocabulary = {piece.text: i for i, piece in enumerate(pieces)}
        is_bpe = trainer.get(3) == sentencepiece_files.BPE
        control = [p.text for p in pieces if p.kind in sentencepiece_files.UNSEEN]
        for role, token in (("unk", "<unk>"), ("eos", "</s>"), ("pad", "<pad>")):
            if token in control:
                special.setdefault(role, token)
        if "<s>" in control:
            special.setdefault("bos", "<s>")
        where = "tokenizer_config.json"
        before = [special.get("bos")] * _flag(config, "add_bos_token", is_bpe, where)
        after = [special.get("eos")] * _flag(config, "add_eos_token", not is_bpe, where)
        return {
            "model": {
                "type": "SentencePiece",
                "data": files[name],
                "vocab": vocabulary,
            },
            "post_processor": around(before, after, vocabulary),
            "decoder": _SENTENCEPIECE_DECODER,
            "added_tokens": [
                _plain(token, vocabulary[token])
                for token in dict.fromkeys([*control, *special.values()])
                if token in vocabulary
            ],
        }

    return read


def around(before, after, vocabulary):
    """A template with tokens before and behind each text; None stands for none."""
    tokens = [t for t in (*before, *after) if t in vocabulary]
    ends = [
        [{"SpecialToken": {"id": t}} for t in side if t in tokens]
        for side in (before, after)
    ]

    def around(name):
        return [*ends[0], {"Sequence": {"id": name}}, *ends[1]]

    return {
        "type": "TemplateProcessing",
        "single": around("A"),
        "pair": around("A") + around("B"),
        "special_tokens": {t: {"id": t, "ids": [vocabulary[t]]} for t in tokens},
    }


_SENTENCEPIECE_DECODER = {
    "type": "Sequence",
    "decoders": [
        {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ],
}

_READERS = {
    "tokenizer.json": _tokenizer_json,
    "vocab.txt": _vocab_txt,
    "vocab.json": _vocab_and_merges,
    "spiece.model": _sentencepiece("spiece.model"),
    "tokenizer.model": _sentencepiece("tokenizer.model"),
}


def _plain(content, id_):
    return {"id": id_, "content": content, "special": True}


def _lines(data, where):
    """Piece -> line number of a vocabulary with one piece a line."""
    lines = _text(data, where).split("\n")
    if lines and not lines[-1]:
        lines.pop()
    vocabulary: dict[str, int] = {}
    for number, piece in enumerate(lines):
        if piece in vocabulary:
            raise TokenizerError(
                f"{where}: {piece!r} stands in line {vocabulary[piece] + 1} and again "
                f"in line {number + 1}. A piece has one id."
            )
        vocabulary[piece] = number
    return vocabulary


def _text(data, where):
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{where} is not UTF-8 ({error}).") from error


def _flag(config, name, default, where):
    value = config.get(name, default)
    if not isinstance(value, bool):
        raise TokenizerError(
            f"{where}: {name!r} is {fields.shown(value)}, expected a bool."
        )
    return value


# --- Special and added tokens ------------------------------------------------------


def _special_tokens(config, special_map):
    """What each special token is, by the config or else special_tokens_map.json."""
    found: dict[str, str] = {}
    for file, where in (
        (special_map, "special_tokens_map.json"),
        (config, "tokenizer_config.json"),
    ):
        for name in SPECIAL_NAMES:
            value = file.get(f"{name}_token")
            if isinstance(value, dict):
                value = value.get("content")
            if value is not None:
                found[name] = fields.text(value, f"{where}: {name}_token")
    return found


def _guessed(added, model):
    """The special tokens of a lone tokenizer.json, by their well-known names."""
    found: dict[str, str] = {}
    for token in added:
        if token.special:
            for name in _WELL_KNOWN.get(token.content, ()):
                found.setdefault(name, token.content)
    return found


_ADDED = {
    "content": (str, fields.REQUIRED),
    "single_word": (bool, False),
    "lstrip": (bool, False),
    "rstrip": (bool, False),
    "normalized": (bool, False),
    "special": (bool, False),
}


def _added_tokens(listed, config, files, special, found):
    """All added tokens, by id; those of tokenizer.json stand before the others'."""
    tokens: dict[int, AddedToken] = {}
    for item in listed:
        where = f"tokenizer.json: added_tokens[{len(tokens)}]"
        read = fields.options(item, where, {"id": (int, fields.REQUIRED), **_ADDED})
        _add(tokens, AddedToken(**read), where)
    known = {t.content for t in tokens.values()}
    where = "tokenizer_config.json: added_tokens_decoder"
    for key, item in _object(config.get("added_tokens_decoder"), where).items():
        read = fields.options(item, f"{where}: {key}", _ADDED)
        if read["content"] not in known:
            _add(tokens, AddedToken(id=_id(key, where), **read), where)
            known.add(read["content"])
    specials = set(special.values())
    for content, id_ in _json(files, "added_tokens.json").items():
        where = "added_tokens.json"
        if fields.text(content, where) not in known:
            is_special = content in specials
            token = AddedToken(
                content, _id(id_, where), is_special, normalized=not is_special
            )
            _add(tokens, token, where)
    return tuple(tokens[i] for i in sorted(tokens))


def _add(tokens, token, where):
    if token.id in tokens:
        raise TokenizerError(
            f"{where}: {token.content!r} and {tokens[token.id].content!r} have the "
            f"same id {token.id}."
        )
    if not 0 <= token.id < LARGEST_VOCABULARY:
        raise TokenizerError(
            f"{where}: the id {token.id} of {token.content!r} is out of range."
        )
    tokens[token.id] = token


def _id(value, where):
    try:
        return int(value)
    except (TypeError, ValueError):
        raise TokenizerError(f"{where}: {fields.shown(value)} is not an id.") from None


def _object(value, where):
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TokenizerError(
            f"{where}: expected an object, found {fields.shown(value)}."
        )
    return value


def _chat_template(config, files):
    """The one template, or several by their names."""
    if "chat_template.jinja" in files:
        return files["chat_template.jinja"].decode("utf-8", "replace")
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {
            each.get("name"): each.get("template")
            for each in template
            if isinstance(each, dict)
        }
        pairs = named.items()
        template = {k: v for k, v in pairs if isinstance(k, str) and isinstance(v, str)}
    return template if template and isinstance(template, str | dict) else None
