"""`Tokenizer`: the one class that users see."""

import functools
from pathlib import Path

import numpy as np
import tensorflow as tf

from zoo.errors import TokenizerError
from zoo.files import find_directory, staged_directory
from zoo.tokenizers import formats, post_processing, templates
from zoo.tokenizers import windows as window
from zoo.tokenizers.building import build
from zoo.tokenizers.decoders import Decoder

# transformers writes int(1e30) where it knows no limit.
_NO_LIMIT = 1 << 30


class Tokenizer(tf.Module):
    """Text to ids and back, in Python, in `tf.data` and in a SavedModel alike.

    Everything is made of ops of TensorFlow and TF Text that TF Serving links. A model
    that has the tokenizer as an attribute tracks what it needs for export.

    Args:
        files: Name -> bytes of the tokenizer's files, as a model directory has them.

    Attributes:
        vocab_size: Number of ids, added tokens included.
        bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token:
            Special tokens, or None; each has its id under `..._token_id`.
        special_tokens: All special tokens, by id.
        model_max_length: Most tokens that the model takes, or None.
        padding_side, truncation_side: "left" or "right".
        chat_template: Jinja source of the chat format; where there are several, a
            dictionary of them by name; or None.

    Raises:
        TokenizerError: if a file is damaged or cannot be honoured exactly.
    """

    def __init__(self, files):
        super().__init__(name="tokenizer")
        self._files = _Untracked(dict(files))
        spec = formats.read_spec(self._files.value)
        with tf.init_scope():
            pipeline, vocabulary = build(spec)
        self._pipeline = pipeline
        self._describe(spec, vocabulary)
        post = templates.read(spec.post_processor, self.vocab_size)
        special = [self.token_to_id(token) for token in self.special_tokens]
        shown = list(self._tokens.value)
        for i, content in pipeline.normalized.items():
            shown[i] = content
        decoder = Decoder(spec.decoder, shown, special)
        self._post, self._decoder = _Untracked(post), _Untracked(decoder)
        self._functions = _Untracked({})
        self._uses_types = self._has_types(spec, post.template)

    @classmethod
    def from_pretrained(cls, source, *, revision=None):
        """The tokenizer of a model directory or hub id.

        Args:
            source: Directory, or a hub id such as "google-bert/bert-base-cased".
            revision: Branch, tag or commit on the hub.
        """
        directory = find_directory(
            source, revision=revision, patterns=(*formats.FILES,)
        )
        return cls(formats.read_files(directory))

    @classmethod
    def from_files(cls, files):
        """The tokenizer of `get_files`."""
        return cls(files)

    @classmethod
    def train(cls, texts, *, kind, vocab_size, **options):
        """A tokenizer whose vocabulary is learnt from texts.

        Args:
            texts: Iterable of str.
            kind: "wordpiece" (as BERT's), "bpe" (of bytes, as GPT-2's) or "unigram" (as
                T5's).
            vocab_size: Ids, special tokens included, at most.
            options: Of `training.train_files`.

        Raises:
            TokenizerError: if the texts or options do not give such a vocabulary.
        """
        from zoo.tokenizers.training import train_files  # for few, and not small

        return cls(train_files(texts, kind=kind, vocab_size=vocab_size, **options))

    def get_files(self):
        """The files it was read from: name -> bytes, unchanged."""
        return dict(self._files.value)

    def save_pretrained(self, directory):
        """Writes the files it was read from, byte for byte, into `directory`."""
        with staged_directory(directory) as stage:
            for name, data in self._files.value.items():
                Path(stage, name).write_bytes(data)

    def __reduce__(self):
        return type(self), (self.get_files(),)

    def __deepcopy__(self, memo):
        return type(self)(self.get_files())

    # --- Encoding ---------------------------------------------------------------------

    def __call__(
        self,
        texts,
        *,
        pair=None,
        max_length=None,
        padding="longest",
        truncation="longest_first",
        add_special_tokens=True,
        return_offsets=False,
    ):
        """Encodes texts.

        Args:
            texts: str, list of str, or string tensor `[B]`. A single text, or a scalar
                tensor, is a batch of one. What is not UTF-8 becomes U+FFFD.
            pair: Second texts, of the same form, or None.
            max_length: Most tokens in a row, special tokens included. None stands for
                `model_max_length`.
            padding: "longest" pads to the longest row, "max_length" to `max_length`,
                None gives ragged tensors. Without a `pad_token` the padding is 0.
            truncation: "longest_first" (of a pair, the longer text gives way),
                "only_first", "only_second", or None for no truncation.
            add_special_tokens: Whether the model's special tokens are put around.
            return_offsets: Whether to say where each token comes from.

        Returns:
            dict of int32 tensors `[B, T]`: `input_ids`, `attention_mask`, and
            `token_type_ids` if the model takes them. With `return_offsets` also
            `offsets` `[B, T, 2]`: first character and the one behind the last, in code
            points of the text as given; (0, 0) for special tokens and padding.

        Raises:
            TokenizerError: if an argument is not of this form.
        """
        options = self._options(
            max_length, padding, truncation, add_special_tokens, return_offsets
        )
        texts = _as_batch(texts, "texts")
        pair = None if pair is None else _as_batch(pair, "pair")
        if not tf.executing_eagerly():
            return self._encode(texts, pair, **options)
        return self._function("_encode", options)(texts, pair)

    def _encode(
        self, texts, pair, *, max_length, padding, truncation, special, offsets
    ):
        template = self._post.value.template
        parts = template.parts(pair=pair is not None, special=special)
        run = self._with_offsets if offsets else self._pipeline
        if pair is None:
            first, second = run(texts), None
        else:  # together, so that the graph has everything once
            first, second = run(tf.concat([texts, pair], 0)).halves()
        if truncation is not None and max_length is not None:
            room = max_length - sum(len(part.ids) for part in parts)
            if room < 0:
                raise TokenizerError(
                    f"max_length={max_length} leaves no room for the "
                    f"{max_length - room} special tokens."
                )
            first, second = post_processing.truncate(
                first, second, room, truncation, self.truncation_side
            )
        found = self._named(post_processing.assemble(first, second, parts))
        return self._padded(found, padding, max_length)

    def _named(self, found):
        """What `assemble` gives, with a mask, and types where the model takes them."""
        ids = found["input_ids"]
        found["attention_mask"] = ids.with_values(tf.ones_like(ids.values))
        if not self._uses_types:
            del found["token_type_ids"]
        order = ("input_ids", "attention_mask", "token_type_ids", "offsets")
        return {name: found[name] for name in order if name in found}

    def windows(
        self, texts, pair, *, max_length, step, longest_text=None, padding="longest"
    ):
        """Encodes pairs, and where they are too long, the second text part by part.

        Args:
            texts: First texts, as of a call. Cut to `longest_text` tokens, and to half
                of what a window holds.
            pair: Second texts; equal ones are encoded once.
            max_length: Most tokens in a window, special tokens included.
            step: Tokens of the second text from the beginning of a window to that of
                the next: what BERT's run_squad calls `doc_stride`.
            longest_text: Most tokens of a first text; None: as many as there is room.
            padding: As of a call.

        Returns:
            `zoo.tokenizers.windows.Windows`; its `inputs` are what a call gives for a
            pair, with `offsets`.

        Raises:
            TokenizerError: if an argument is not of this form.
        """
        parts = self._post.value.template.parts(pair=True, special=True)
        room = max_length - sum(len(part.ids) for part in parts)
        if room < 2 or step < 1 or (longest_text is not None and longest_text < 1):
            raise TokenizerError(
                f"max_length={max_length}, step={step}, longest_text={longest_text}: "
                f"expected a max_length of {max_length - room + 2} at least, and "
                "positive numbers."
            )
        question = room // 2 if longest_text is None else min(longest_text, room // 2)
        options = self._options(max_length, padding, None, True, True)
        options = {
            **{name: options[name] for name in ("max_length", "padding")},
            **{"step": int(step), "longest": int(question), "room": int(room)},
        }
        texts, pair = _as_batch(texts, "texts"), _as_batch(pair, "pair")
        if not tf.executing_eagerly():
            return self._windows(texts, pair, **options)
        return self._function("_windows", options)(texts, pair)

    def _windows(self, texts, pair, *, max_length, padding, step, longest, room):
        parts = self._post.value.template.parts(pair=True, special=True)
        unique, index = tf.unique(pair)
        # Together, so that the graph has everything once.
        both = self._with_offsets(tf.concat([texts, unique], 0))
        lengths, size = both.lengths(), tf.size(texts)
        first = tf.minimum(lengths[:size], longest)
        second = tf.gather(lengths, size + index)
        number, begin, length = window.cut(first, second, room, step)
        heads = tf.gather(first, number)
        found = post_processing.assemble(
            window.taken(both, number, tf.zeros_like(heads), heads),
            window.taken(both, size + tf.gather(index, number), begin, length),
            parts,
        )
        place = tf.zeros_like(heads)
        for part in parts:
            if part.source == "B":
                break
            place += heads if part.source else len(part.ids)
        found = self._padded(self._named(found), padding, max_length)
        return window.Windows(found, number, place, begin, length)

    def _with_offsets(self, texts):
        pieces = self._pipeline.with_offsets(texts)
        post = self._post.value
        if post.trim_offsets:
            pieces = post_processing.trimmed(
                pieces, self._blanks, lenient=post.add_prefix_space
            )
        return pieces

    @functools.cached_property
    def _blanks(self):
        return post_processing.blanks(self._tokens.value)

    def _padded(self, found, padding, max_length):
        if padding is None:
            return found
        length = max_length if padding == "max_length" else None
        fills = {"input_ids": self.pad_token_id or 0}
        padded = {}
        for name, ragged in found.items():
            tensor = post_processing.pad(
                ragged, fills.get(name, 0), side=self.padding_side, length=length
            )
            padded[name] = tensor
        return padded

    def _options(self, max_length, padding, truncation, special, offsets):
        if padding not in ("longest", "max_length", None):
            raise TokenizerError(
                f"padding={padding!r}: expected 'longest', 'max_length' or None."
            )
        if truncation not in (*post_processing.STRATEGIES, None):
            raise TokenizerError(
                f"truncation={truncation!r}: expected None or one of "
                f"{', '.join(post_processing.STRATEGIES)}."
            )
        if max_length is None:
            max_length = self.model_max_length
        elif (
            isinstance(max_length, bool)
            or int(max_length) != max_length
            or max_length < 0
        ):
            raise TokenizerError(f"max_length={max_length!r}: expected a whole number.")
        if padding == "max_length" and max_length is None:
            raise TokenizerError(
                "padding='max_length' needs a max_length: the files of this tokenizer "
                "do not say how long the model's input may be."
            )
        return {
            "max_length": None if max_length is None else int(max_length),
            "padding": padding,
            "truncation": truncation,
            "special": bool(special),
            "offsets": bool(offsets),
        }

    @property
    def special_around(self):
        """Ids of the special tokens before one text and behind it, two tuples."""
        before, behind, found = [], [], False
        for part in self._post.value.template.parts(pair=False, special=True):
            found = found or bool(part.source)
            (behind if found else before).extend(part.ids)
        return tuple(before), tuple(behind)

    def with_special_tokens(self, ids):
        """Puts the special tokens around rows of ids, each of one text.

        Args:
            ids: Ragged int32 `[B, (tokens)]`, as a call gives them with
                `add_special_tokens=False`.

        Returns:
            `input_ids`, and `token_type_ids` if the model takes them, ragged int32.
        """
        parts = self._post.value.template.parts(pair=False, special=True)
        found = post_processing.assemble(post_processing.Pieces(ids), None, parts)
        if not self._uses_types:
            del found["token_type_ids"]
        return found

    # --- Decoding -------------------------------------------------------------------

    def decode(self, ids, *, skip_special_tokens=False):
        """Ids back to text.

        Args:
            ids: Tensor `[T]` or `[B, T]`, a ragged one too; or a list of int, or a list
                of such lists. Ids that no token has are left out.
            skip_special_tokens: Whether special tokens are left out.

        Returns:
            For a tensor a string tensor, `[]` or `[B]`. For lists and numpy arrays str,
            or a list of str.
        """
        if isinstance(ids, tf.Tensor | tf.RaggedTensor):
            return self._decode_tensor(ids, skip_special_tokens)
        if isinstance(ids, np.ndarray):
            ids = ids.tolist()
        ids = list(ids)
        if ids and not isinstance(ids[0], int | np.integer):
            texts = self._decode_rows(
                tf.ragged.constant(ids, tf.int32, ragged_rank=1), skip_special_tokens
            )
            return [text.decode() for text in texts.numpy()]
        row = tf.RaggedTensor.from_row_lengths(tf.constant(ids, tf.int32), [len(ids)])
        return self._decode_rows(row, skip_special_tokens).numpy()[0].decode()

    @property
    def spelling(self):
        """What each token adds to a text: see `zoo.tokenizers.decoders.Spelling`."""
        return self._decoder.value.spelling

    def _decode_tensor(self, ids, skip):
        if isinstance(ids, tf.RaggedTensor):
            return self._decode_rows(tf.cast(ids, tf.int32), skip)
        if ids.shape.rank == 1:
            return self._decode_tensor(ids[None], skip)[0]
        rows = tf.RaggedTensor.from_tensor(tf.cast(ids, tf.int32))
        return self._decode_rows(rows, skip)

    def _decode_rows(self, ids, skip):
        options = {"skip_special_tokens": bool(skip)}
        if not tf.executing_eagerly():
            return self._decode(ids, **options)
        return self._function("_decode", options)(ids)

    def _decode(self, ids, *, skip_special_tokens):
        return self._decoder.value(ids, skip_special_tokens=skip_special_tokens)

    # --- Vocabulary -----------------------------------------------------------------

    def token_to_id(self, token):
        """The id of a token, or None."""
        return self._ids.value.get(token)

    def id_to_token(self, id_):
        """The token of an id, or None."""
        tokens = self._tokens.value
        return tokens[id_] if 0 <= id_ < len(tokens) else None

    def get_vocab(self):
        """Token -> id, added tokens included."""
        return dict(self._ids.value)

    def _describe(self, spec, vocabulary):
        ids = {**vocabulary, **{t.content: t.id for t in spec.added_tokens}}
        tokens = [None] * (max(ids.values()) + 1)
        for token, i in ids.items():
            if tokens[i] is None or i in {
                t.id for t in spec.added_tokens if t.content == token
            }:
                tokens[i] = token
        self._ids, self._tokens = _Untracked(ids), _Untracked(tokens)
        self.vocab_size = len(tokens)
        for name in formats.SPECIAL_NAMES:
            token = spec.special.get(name)
            setattr(self, f"{name}_token", token)
            setattr(self, f"{name}_token_id", ids.get(token))
        special = {t.content: t.id for t in spec.added_tokens if t.special}
        special.update((t, ids[t]) for t in spec.special.values() if t in ids)
        self.special_tokens = tuple(sorted(special, key=special.get))
        self.chat_template = spec.chat_template
        limit = spec.config.get("model_max_length")
        usable = isinstance(limit, int | float) and 0 < limit < _NO_LIMIT
        self.model_max_length = int(limit) if usable else None
        self.padding_side = _side(spec.config, "padding_side")
        self.truncation_side = _side(spec.config, "truncation_side")

    def _has_types(self, spec, template):
        names = spec.config.get("model_input_names")
        if isinstance(names, list):
            return "token_type_ids" in names
        has_special = any(part.ids for part in template.pair)
        return has_special and any(part.type_id for part in template.pair)

    def _function(self, name, options):
        """A method compiled for some options; a new length compiles nothing new."""
        key = (name, *options.items())
        if key not in self._functions.value:
            method = functools.partial(getattr(self, name), **options)
            self._functions.value[key] = tf.function(
                method, reduce_retracing=True, autograph=False
            )
        return self._functions.value[key]


class _Untracked:
    """Keeps a value out of what TensorFlow tracks and exports."""

    def __init__(self, value):
        self.value = value


def _as_batch(texts, name):
    """str, list of str or string tensor, to a string tensor `[B]`."""
    if isinstance(texts, str | bytes):
        texts = [texts]
    if not tf.is_tensor(texts):
        texts = tf.constant([_as_bytes(text, name) for text in texts], tf.string)
    if texts.dtype != tf.string:
        raise TokenizerError(f"{name}: expected strings, got {texts.dtype.name}.")
    if texts.shape.rank == 0:
        texts = texts[None]
    if texts.shape.rank not in (1, None):
        raise TokenizerError(f"{name}: expected a tensor [B], got {texts.shape}.")
    return texts


def _as_bytes(text, name):
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise TokenizerError(f"{name}: expected str, got {type(text).__name__}.")
    return text.encode("utf-8", "surrogatepass")  # half a pair is repaired later


def _side(config, name):
    side = config.get(name, "right")
    if side not in ("left", "right"):
        raise TokenizerError(f"tokenizer_config.json: {name} is {side!r}.")
    return side
