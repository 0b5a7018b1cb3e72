"""ReplacedTokenDetection: an encoder learns which tokens of a text are not its own.

ELECTRA (Clark et al. 2020, arXiv:2003.10555): a small masked language model, the
generator, fills in masked tokens; the encoder proper, the discriminator, says of each
token whether it stood there before. It learns from all tokens, not from the masked ones
alone. After pretraining the generator is thrown away.
"""

import keras
import tensorflow as tf

from zoo.config import TransformerConfig
from zoo.data.randomness import valid_tokens
from zoo.errors import ConfigError, InputError
from zoo.layers.feedforward import activation
from zoo.layers.linear import Linear, multiply
from zoo.layers.norms import Norm
from zoo.layers.stack import Stack
from zoo.models.base import TransformerModel
from zoo.models.encoder import BertModel, encoder_positions
from zoo.tasks.masked_lm import OutputBias
from zoo.training.labels import counted
from zoo.training.losses import CrossEntropy, token_losses

LOSS_WEIGHT = 50.0
GENERATOR_SIZE = 0.25


@keras.saving.register_keras_serializable(package="zoo")
class Generator(keras.layers.Layer):
    """A masked language model of its own width, on the embeddings of another.

    Args:
        config: That of the encoder whose embeddings it reads.
        size: Width, heads and feed-forward size, as a share of that encoder's.
    """

    def __init__(self, config, *, size, **kwargs):
        super().__init__(**kwargs)
        self.outer = outer = TransformerConfig.of(config)
        self.size = size
        self.config = config = smaller(outer, size)
        options = {"dtype": self.dtype_policy}
        made = {"stddev": config.initializer_range, **options}
        self.projection = Linear(config.hidden_size, name="projection", **made)
        self.encoder = Stack(config, name="encoder", **options)
        self.transform = Linear(outer.hidden_size, name="transform", **made)
        self.activation = activation(config.hidden_act)
        self.norm = Norm.of(outer, name="norm", **options)
        self.bias = OutputBias(config.vocab_size, name="bias", **options)

    def build(self, input_shape=None):
        if self.built:
            return
        width = self.outer.hidden_size
        self.projection.build((None, None, width))
        self.encoder.build((None, None, self.config.hidden_size))
        self.transform.build((None, None, self.config.hidden_size))
        self.norm.build((None, None, width))
        self.bias.build((None, None, self.config.vocab_size))
        self.built = True

    def call(self, embedded, table, places, training=None, **options):
        """Scores of all tokens at some places.

        Args:
            embedded: Vectors of the tokens, `[B, T, D]`.
            table: Token table, `[V, D]`.
            places: Row and column of each place, `[N, 2]`.
            options: Of `Stack`.

        Returns:
            Logits `[N, V]`, float32.
        """
        states = self.encoder(self.projection(embedded), training=training, **options)
        states = tf.gather_nd(states, places)
        x = self.norm(self.activation(self.transform(states)))
        return tf.cast(self.bias(multiply(x, tf.cast(table, x.dtype))), tf.float32)

    def get_config(self):
        config = {"config": self.outer.to_dict(), "size": self.size}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="zoo")
class ReplacedTokenDetection(TransformerModel):
    """A discriminator and its generator, which share their embeddings.

    Calling it with token ids gives logits `[B, T]`: above 0, a token rather is not the
    text's own.

    `fit` and `evaluate` take batches in which tokens are masked, and what stood there:
    `{"input_ids": ..., "labels": ...}`, -100 where nothing is masked, as
    `zoo.data.masking.masked_batches` makes them with `mask_share=1, random_share=0`.
    The loss is that of the generator and `loss_weight` times that of the
    discriminator, each a mean over its tokens. Metrics: `generator_loss`, its
    `perplexity`, `detection_loss`, `detection_accuracy`, and `replaced`, the share of
    tokens that the generator replaced by others: what saying "original" of every token
    gets wrong.

    `save_pretrained` writes the discriminator, a BertModel.

    Args:
        config: TransformerConfig of the discriminator.
        generator_size: Of its width, its heads and its feed-forward size, the share
            that the generator has.
        loss_weight: What the discriminator's loss counts, against the generator's.
        seed: Of the tokens that the generator draws.
        dtype: Keras dtype policy.
    """

    assembly = "encoder"
    body = "discriminator"
    input_names = BertModel.input_names

    def __init__(
        self,
        config,
        *,
        generator_size=GENERATOR_SIZE,
        loss_weight=LOSS_WEIGHT,
        seed=0,
        dtype=None,
        **kwargs,
    ):
        config = TransformerConfig.of(config).replace(pooler=False)
        super().__init__(config, dtype=dtype, **kwargs)
        self.generator_size, self.loss_weight = generator_size, loss_weight
        self.seed = seed
        options = {"dtype": self.dtype_policy}
        made = {"stddev": config.initializer_range, **options}
        self.discriminator = BertModel(config, name="discriminator", **options)
        self.generator = Generator(
            config, size=generator_size, name="generator", **options
        )
        self.transform = Linear(config.hidden_size, name="transform", **made)
        self.activation = activation(config.hidden_act)
        self.detector = Linear(1, name="detector", **made)
        self._random = keras.random.SeedGenerator(seed, name="replaced_tokens")
        self._parts = {
            name: keras.metrics.Mean(name=name)
            for name in (
                "generator_loss",
                "detection_loss",
                "detection_accuracy",
                "replaced",
            )
        }
        self._parts["perplexity"] = MeanExponential(name="perplexity")
        self.build()

    def build_layers(self):
        width = self.config.hidden_size
        self.discriminator.build()
        self.generator.build()
        self.transform.build((None, None, width))
        self.detector.build((None, None, width))

    def run(self, inputs, *, training=None, every_state=False):
        states = self.discriminator.run(
            inputs, training=training, every_state=every_state
        )
        if every_state:
            return states
        return self.detector(self.activation(self.transform(states)))[..., 0]

    # --- Learning ---------------------------------------------------------------------

    def default_loss(self):
        return CrossEntropy()  # of the generator

    def compile(self, optimizer=None, loss=None, *, jit_compile="auto", **options):
        """As of every zoo model, but for losses and metrics, which are its own.

        Raises:
            InputError: if a loss or metrics are given, or `micro_batch_size`: means
                over two kinds of tokens are not those of parts of the batch.
            ConfigError: for `jit_compile=True`: how many tokens are masked differs from
                batch to batch, which XLA does not compile.
        """
        given = {"loss": loss, **options}
        for name in ("loss", "metrics", "weighted_metrics", "micro_batch_size"):
            if given.get(name) is not None:
                raise InputError(
                    f"{name}={given[name]!r}: ReplacedTokenDetection has its own loss "
                    "and metrics, and sees a batch whole. Leave it out."
                )
        if jit_compile is True:
            raise ConfigError(
                "jit_compile=True cannot be honoured: how many tokens are masked "
                "differs from batch to batch, which XLA does not compile. Leave it out."
            )
        super().compile(optimizer, jit_compile=False, **options)

    def get_compile_config(self):
        config = super().get_compile_config()
        return {k: v for k, v in config.items() if k not in ("loss", "metrics")}

    def assess(self, inputs, labels, weights, training):
        if labels is None or weights is not None:
            problem = "no labels" if labels is None else "weights"
            raise InputError(
                f"the batch has {problem}; expected input_ids with masked tokens and "
                "labels that say what stood there, as masked_batches(..., mask_share=1,"
                " random_share=0) makes them."
            )
        inputs = self.read_inputs(inputs)
        masked = counted(labels)
        places = tf.where(masked)
        wanted = tf.cast(tf.boolean_mask(labels, masked), tf.int32)
        logits = self.generate(inputs, places, training)
        losses = token_losses(wanted, logits)
        generator_loss = tf.math.divide_no_nan(
            tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)
        )
        drawn = self.draw(logits, training)
        shown = tf.tensor_scatter_nd_update(inputs["input_ids"], places, drawn)
        other = tf.cast(tf.not_equal(drawn, wanted), tf.float32)
        replaced = tf.scatter_nd(places, other, tf.shape(masked, tf.int64))
        scores = self.run({**inputs, "input_ids": shown}, training=training)
        scores = tf.cast(scores, tf.float32)
        valid = tf.cast(valid_tokens(inputs), tf.float32)
        each = tf.nn.sigmoid_cross_entropy_with_logits(replaced, scores)
        detection_loss = tf.math.divide_no_nan(
            tf.reduce_sum(each * valid), tf.reduce_sum(valid)
        )
        right = tf.cast(tf.equal(scores > 0, replaced > 0), tf.float32)
        for name, values, share in (
            ("generator_loss", losses, None),
            ("perplexity", losses, None),
            ("detection_loss", each, valid),
            ("detection_accuracy", right, valid),
            ("replaced", replaced, valid),
        ):
            self._parts[name].update_state(values, share)
        self.compute_metrics(inputs, labels, scores, None)
        loss = generator_loss + self.loss_weight * detection_loss
        return tf.add_n([loss, *(tf.cast(x, loss.dtype) for x in self.losses)])

    def generate(self, inputs, places, training=False):
        """The generator's logits `[N, V]` at places `[N, 2]` of masked inputs."""
        embeddings, positions = self.discriminator.embeddings, encoder_positions(inputs)
        embedded = embeddings(
            inputs["input_ids"],
            positions,
            inputs.get("token_type_ids"),
            training=training,
        )
        return self.generator(
            embedded,
            tf.convert_to_tensor(embeddings.tokens.weight),
            places,
            attention_mask=inputs.get("attention_mask"),
            position_ids=positions,
            documents=inputs.get("document_ids"),
            training=training,
        )

    def draw(self, logits, training):
        """A token from each distribution `[N, V]`; in evaluation always the same."""
        seed = [self.seed, 0]
        if training:
            seed = tf.cast(self._random.next(), tf.int32)
        drawn = tf.random.stateless_categorical(
            tf.stop_gradient(logits), 1, seed, dtype=tf.int32
        )
        return drawn[:, 0]

    # --- Saving -----------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        raise InputError(
            "ReplacedTokenDetection begins anew: ReplacedTokenDetection(config). What "
            "it has learnt is loaded by any model or task of its family."
        )

    def save_pretrained(self, directory, **options):
        """Writes the discriminator and the tokenizer, if there is one."""
        self.discriminator._tokenizer_files = self.tokenizer_files()
        self.discriminator.save_pretrained(directory, **options)

    def get_config(self):
        return {
            **super().get_config(),
            "generator_size": self.generator_size,
            "loss_weight": self.loss_weight,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="zoo")
class MeanExponential(keras.metrics.Mean):
    """`exp` of the mean: perplexity, from losses of tokens."""

    def result(self):
        return tf.exp(super().result())


def smaller(config, size):
    """The configuration of a generator of such a size.

    Raises:
        ConfigError: if the width of a head would not be a whole number.
    """
    heads = max(1, round(config.num_attention_heads * size))
    width = round(config.hidden_size * size)
    if not 0 < size <= 1 or width < heads or width % heads:
        raise ConfigError(
            f"generator_size={size}: expected a share above 0, at most 1, that leaves "
            f"a width that {heads} heads can share; {config.hidden_size} * {size} is "
            f"{config.hidden_size * size:g}."
        )
    return config.replace(
        hidden_size=width,
        embedding_size=config.hidden_size,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=width // heads,
        intermediate_size=max(1, round(config.intermediate_size * size)),
    )
