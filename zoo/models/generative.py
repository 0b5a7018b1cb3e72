"""Models that write: prompts in, texts or ids out."""

import json
import weakref
from functools import cached_property

import tensorflow as tf

from zoo.errors import ConfigError, InputError
from zoo.export import export_saved_model as write_saved_model
from zoo.files import read_json
from zoo.generation.config import DEFAULT_ASSISTANT_TOKENS, GenerationConfig
from zoo.generation.generator import Generator
from zoo.generation.prompts import begun, read_rows
from zoo.generation.serving import Server
from zoo.generation.strategies import check_strategy, options_of
from zoo.models.base import TransformerModel, head_of, logits
from zoo.training.losses import CrossEntropy
from zoo.training.metrics import Perplexity, TokenAccuracy

LARGEST_GENERATION_CONFIG = 1 << 20
CONFIG_FILE = "generation_config.json"


class GenerativeModel(TransformerModel):
    """A Transformer that continues prompts: `embeddings`, a `decoder` and a `lm_head`.

    Attributes:
        prompt_name: The input that generation continues.
        generation_defaults: What the checkpoint's generation_config.json says.
    """

    prompt_name: str
    scores_vocabulary = True
    generation_defaults: dict | None = None

    @property
    def heads(self):
        return ("lm_head",)  # a tied one too: its copy in a checkpoint is compared

    def default_loss(self):
        return CrossEntropy()

    def default_metrics(self):
        return [Perplexity(), TokenAccuracy()]

    def states(self, inputs, *, training=None, every_state=False):
        """The decoder's last hidden states `[B, T, D]`; of every layer if asked for."""
        raise NotImplementedError

    def run(self, inputs, *, training=None, every_state=False):
        states = self.states(inputs, training=training, every_state=every_state)
        return states if every_state else self.logits(states)

    def states_and_head(self, inputs, training):
        head = head_of(self.config, self.lm_head, self.embeddings.tokens)
        if head is None:
            return None
        states = self.states(self.read_inputs(inputs), training=training)
        return states * tf.cast(self.config.logit_scale, states.dtype), head

    def generate(self, prompts, *, stream=False, assistant_model=None, **options):
        """Continues prompts, or answers sources.

        Args:
            prompts: A text or a list of texts; or a list of ids, a list of such lists,
                an array `[B, T]`, or a dictionary of `input_ids` and `attention_mask`.
            stream: For one prompt: yield pieces while they are written. No piece cuts a
                character.
            assistant_model: A smaller zoo model of the same kind and vocabulary. It
                drafts `num_assistant_tokens` at a time, and this model checks them in
                one pass: what is written is what greedy search writes, sooner where
                enough drafts are right.
            options: Those of `zoo.generation.GenerationConfig`, such as
                `max_new_tokens=64`, `do_sample=True`, `num_beams=4`; what the
                checkpoint's generation_config.json says holds where none is given.
                The strategy follows from them; `strategy="beam"` and the like says
                which one is meant (see `zoo.generation.strategies`).

        Returns:
            What was written behind each prompt: text for text, a list of ids for ids;
            for one prompt one, for a list a list. With `num_return_sequences` above 1
            a list for each prompt, best first. With `return_dict_in_generate`,
            `output_scores` or `output_logprobs` a `Sequence` in the place of each.

        Raises:
            ConfigError: if an option does not exist, or contradicts another, or if the
                assistant cannot draft for this model.
            InputError: if a prompt is empty or too long.
        """
        config = self.generation_config(assistant_model=assistant_model, **options)
        rows, kind, single = self._read_prompts(prompts, config)
        decode = self._decode if kind == "text" or self._has_tokenizer() else None
        if stream:
            if not single:
                raise InputError("stream=True takes one prompt, not a list of prompts.")
            return self._generator.stream(
                rows[0],
                config,
                decode=decode if kind == "text" else None,
                assistant=assistant_model,
            )
        return self._answers(
            rows, config, decode, kind, single=single, assistant=assistant_model
        )

    def _answers(self, rows, config, decode, kind, *, single, assistant=None):
        groups = self._generator(rows, config, decode=decode, assistant=assistant)
        if not config.returns_dict:
            name = "text" if kind == "text" else "ids"
            groups = [[getattr(each, name) for each in group] for group in groups]
        if config.num_return_sequences == 1:
            groups = [group[0] for group in groups]
        return groups[0] if single else groups

    def export_saved_model(
        self, directory, *, version=None, assistant_model=None, **options
    ):
        """Writes a SavedModel that maps prompts to answers, for TF Serving.

        Its signature `serving_default` takes `text` (string `[B]`) and gives `text`
        (string `[B]`, or `[B, N]` with `num_return_sequences=N`): what `generate`
        writes with these options. Where tokens are drawn, each call draws anew. With
        `seed` among the options each prompt gets what `generate` gives for it alone
        with this seed; and a second signature, `seeded`, takes a `seed` for each prompt
        (int64 `[B]`) as well. It needs TensorFlow and TF Text to run, neither zoo nor
        Keras.

        Args:
            directory: Where to write.
            version: None writes into `directory` itself; a number into a directory of
                that name below, as TF Serving wants it.
            assistant_model: As of `generate`; its weights are written too.
            options: As of `generate`.

        Returns:
            Path of the directory with `saved_model.pb`.

        Raises:
            ConfigError: if an option does not exist, contradicts another, or needs
                Python between the steps, as prefix_allowed_tokens_fn does.
        """
        config = self.generation_config(assistant_model=assistant_model, **options)
        server = Server(
            self,
            config,
            vocab_size=self.config.vocab_size,
            assistant=assistant_model,
        )
        text = {"text": tf.TensorSpec([None], tf.string, name="text")}

        def serve(text, seed=None):
            return {"text": server(text, seed)}

        signatures = {"serving_default": (serve, text)}
        if config.do_sample:
            seed = tf.TensorSpec([None], tf.int64, name="seed")
            signatures["seeded"] = (serve, {**text, "seed": seed})
        return write_saved_model(
            directory, signatures, resources=[self.tokenizer], version=version
        )

    def encode_prompts(self, texts):
        """Ids, ragged int32, of texts `[B]` that a SavedModel is given: graph ops."""
        return self.tokenizer(texts, padding=None, truncation=None)["input_ids"]

    def generation_config(self, *, assistant_model=None, strategy=None, **options):
        """The GenerationConfig of a call: these options over the checkpoint's.

        Raises:
            ConfigError: as `generate`.
        """
        options = options_of(strategy, options)
        if assistant_model is not None:
            self._check_assistant(assistant_model)
            if options.get("num_assistant_tokens") is None:
                options["num_assistant_tokens"] = DEFAULT_ASSISTANT_TOKENS
        own = {
            name: getattr(self.config, name)
            for name in ("bos_token_id", "eos_token_id", "pad_token_id")
            if getattr(self.config, name) is not None
        }
        start = self.config.decoder_start_token_id
        if start is not None:
            own["decoder_start_token_id"] = start
        defaults = {**own, **(self.generation_defaults or {})}
        config = GenerationConfig.from_checkpoint(defaults, **options)
        check_strategy(strategy, config)
        return config

    def _check_assistant(self, assistant):
        """Refuses what cannot draft for this model."""
        if not isinstance(assistant, GenerativeModel):
            raise ConfigError(
                f"assistant_model is {type(assistant).__name__}; expected a zoo model "
                "that writes, such as GPTModel.from_pretrained(...)."
            )
        if assistant.assembly != self.assembly:
            raise ConfigError(
                f"assistant_model is a {type(assistant).__name__} and drafts for a "
                f"{type(self).__name__}: expected the same kind of model."
            )
        sizes = assistant.config.vocab_size, self.config.vocab_size
        if sizes[0] != sizes[1]:
            raise ConfigError(
                f"assistant_model has a vocabulary of {sizes[0]} tokens, this model "
                f"one of {sizes[1]}: its drafts would be other tokens. Pass a model "
                "with the same tokenizer."
            )
        scaling = self.config.rope_scaling or {}
        if scaling.get("rope_type") == "dynamic":
            raise ConfigError(
                "assistant_model and rope_scaling of type 'dynamic' do not go "
                "together: several tokens in one pass would be turned otherwise than "
                "one by one. Leave assistant_model out."
            )
        if assistant not in self._assistants:
            self._compare_tokenizers(assistant)
            self._assistants.add(assistant)

    @cached_property
    def _assistants(self):
        """Those that passed the test, held as long as somebody else holds them."""
        return weakref.WeakSet()

    def _compare_tokenizers(self, assistant):
        if not (self._has_tokenizer() and assistant._has_tokenizer()):
            return
        if self.tokenizer_files() == assistant.tokenizer_files():
            return
        own, other = self.tokenizer.get_vocab(), assistant.tokenizer.get_vocab()
        for piece in own:
            if other.get(piece) != own[piece]:
                raise ConfigError(
                    f"assistant_model has another tokenizer: {piece!r} has the id "
                    f"{other.get(piece)} there and {own[piece]} here, so that its "
                    "drafts would be other tokens. Pass a model with the same one."
                )

    @cached_property
    def _generator(self):
        return Generator(self, vocab_size=self.config.vocab_size)

    def prefill(self, inputs, *, length, slack=0):
        """Reads prompts, so that tokens can follow.

        Args:
            inputs: Those of the model, int32 `[B, T]`; the one that is continued is
                padded on the left, and `padding` says how much, int32 `[B]`.
            length: Tokens that there shall be room for, the padded prompt included.
            slack: Tokens that one `advance` may bring besides the first.

        Returns:
            `logits` `[B, V]` of the next token, and a Cache.
        """
        x, cache = self.prefill_states(inputs, length=length, slack=slack)
        return self.logits(x[:, -1]), cache

    def prefill_states(self, inputs, *, length, slack=0):
        """The same with the last hidden states `[B, T, D]` in the place of logits."""
        ids, padding = inputs[self.prompt_name], inputs["padding"]
        positions = tf.range(tf.shape(ids)[1])[None] - padding[:, None]
        positions = tf.maximum(positions, 0)
        return self.decoder.prefill(
            self.embeddings(ids, positions, training=False),
            positions,
            padding,
            length=length,
            slack=slack,
            **self.context(inputs),
        )

    def advance(self, ids, cache):
        """Reads the next tokens `[B, T]`; gives `logits` `[B, T, V]`, and the Cache."""
        x, cache = self.advance_states(ids, cache)
        return self.logits(x), cache

    def advance_states(self, ids, cache, *, alternatives=False):
        """The same with the last hidden states `[B, T, D]` in the place of logits.

        Args:
            ids: int32 `[B, T]`.
            cache: What was returned before.
            alternatives: Whether the tokens are T alternatives for the next place, none
                of which sees another. `Cache.with_choice` keeps one of them.
        """
        positions = self.positions_of_next(cache, 1 if alternatives else ids.shape[1])
        x = self.embeddings(ids, positions, training=False)
        return self.decoder.advance(x, positions, cache, alternatives=alternatives)

    def context(self, inputs):
        """What the decoder sees besides its own tokens: arguments of its prefill."""
        return {}

    def logits(self, x):
        """Scores of the next token, `[B, T, V]`, from the last hidden states."""
        return logits(x, self.config, self.lm_head, self.embeddings.tokens)

    def check_prompts(self, rows):
        """Refuses what the model has no positions for."""
        limit, longest = self.longest_prompt, max(map(len, rows))
        if limit is not None and longest > limit:
            cure = (
                ""
                if self._counts_positions
                else (
                    ", or give the configuration a rope_scaling, or a larger "
                    "max_position_embeddings if the model was trained for it"
                )
            )
            raise InputError(
                f"a prompt has {longest} tokens, but the model has positions for "
                f"{limit} (max_position_embeddings). Shorten it{cure}."
            )

    @property
    def longest_prompt(self):
        """Tokens that a prompt may have; None: any number.

        Rotary positions go on beyond those that a model was trained for, and what it
        writes there is no language; with a scaling they are meant to.
        """
        rotary = self.config.position == "rotary" and not self.config.rope_scaling
        if rotary or self._counts_positions:
            return self.config.max_position_embeddings
        return None

    def room_after(self, length):
        """Tokens that there are positions for behind so many; the last needs none."""
        if not self._counts_positions:
            return 2**31 - 1
        return self.config.max_position_embeddings - length + 1

    @property
    def _counts_positions(self):
        return self.config.position in ("learned", "sinusoidal")

    def cache_bytes(self, length):
        """What the caches of one row with room for so many tokens take, in bytes."""
        config, depth = self.config, self.decoder.depth
        tokens = sum(min(length, config.window(i) or length) for i in range(depth))
        each = 2 * config.num_key_value_heads * config.head_dim
        return tokens * each * tf.as_dtype(self.compute_dtype).size

    def positions_of_next(self, cache, count):
        """Positions of the next tokens, int32 `[B, count]`.

        Rows that have ended go on beyond the last one: they stay at it.
        """
        positions = cache.positions(count)
        if self._counts_positions:
            last = self.config.max_position_embeddings - 1
            positions = tf.minimum(positions, last)
        return positions

    def _has_tokenizer(self):
        return self._tokenizer is not None or bool(self._tokenizer_files)

    @property
    def spelling(self):
        """What each token adds to a text; None without a tokenizer."""
        return self.tokenizer.spelling if self._has_tokenizer() else None

    def _decode(self, rows):
        return self.tokenizer.decode(rows, skip_special_tokens=True)

    def _read_prompts(self, prompts, config):
        """Rows of ids, "text" or "ids", and whether it is a single prompt."""

        def encode(texts):
            found = self.tokenizer(texts, padding=None, truncation=None)
            return found["input_ids"].to_list()

        rows, kind, single = read_rows(
            prompts, name="prompts", encode=encode, vocab_size=self.config.vocab_size
        )
        return [begun(row, config.bos_token_id) for row in rows], kind, single

    def read_extras(self, directory):
        path = directory / CONFIG_FILE
        if path.is_file():
            self.generation_defaults = read_json(
                path, limit=LARGEST_GENERATION_CONFIG, memory=16 << 20
            )

    def write_extras(self, directory):
        if self.generation_defaults:
            text = json.dumps(self.generation_defaults, indent=2, ensure_ascii=False)
            (directory / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
