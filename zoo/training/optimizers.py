"""Optimizers that know biases, norms and layers: AdamW in one pass, and Adafactor."""

import fnmatch

import keras
import tensorflow as tf

from zoo.errors import ConfigError


class _KnowsWeights(keras.optimizers.Optimizer):
    """No decay on biases and norms, and learning rates that differ by weight.

    Attributes:
        rates: Tuple of (pattern, factor): the learning rate of a weight whose `path`
            the pattern (of `fnmatch`) matches is multiplied by the factor of the first
            one that does.
    """

    rates: tuple = ()

    def _set_rates(self, rates):
        self.rates = tuple((str(pattern), float(factor)) for pattern, factor in rates)
        bad = [f"{pattern!r}: {factor}" for pattern, factor in self.rates if factor < 0]
        if bad:
            raise ConfigError(f"rates: {bad[0]}; expected a factor of at least 0.")

    def build(self, variables):
        super().build(variables)
        self._factors = tuple(self._factor(variable.path) for variable in variables)

    def _factor(self, path):
        for pattern, factor in self.rates:
            if fnmatch.fnmatchcase(path, pattern):
                return factor
        return 1.0

    def _rate_of(self, variable, learning_rate):
        factor = self._factors[self._get_variable_index(variable)]
        return learning_rate if factor == 1.0 else learning_rate * factor

    def _clip_gradients(self, grads):
        """As Keras's, but that the global norm takes one pass and not three.

        A row of a table that came several times counts with the sum of its gradients,
        which neither Keras (3.15) nor TensorFlow does of themselves.
        """
        if self.clipnorm or not self.global_clipnorm:
            return super()._clip_gradients(grads)
        grads = [g if g is None else tf.convert_to_tensor(g) for g in grads]
        return tf.clip_by_global_norm(grads, self.global_clipnorm)[0]

    def _use_weight_decay(self, variable):
        return len(variable.shape) > 1 and super()._use_weight_decay(variable)

    def get_config(self):
        return {**super().get_config(), "rates": [list(pair) for pair in self.rates]}


@keras.saving.register_keras_serializable(package="zoo")
class AdamW(_KnowsWeights, keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101).

    Numerically `keras.optimizers.AdamW`, but for three things: weights of one dimension
    (biases, norms) do not decay, learning rates may differ by weight, and the update of
    a weight is one TensorFlow kernel where Keras runs a dozen, each of which reads and
    writes the whole weight.

    Args:
        rates: Pairs of a pattern and a factor: the learning rate of weights whose path
            (as of `keras.Variable`, such as "bert_model/encoder/blocks_0/attention/
            qkv/weight") the pattern matches is multiplied by the factor.
        kwargs: As of `keras.optimizers.AdamW`.
    """

    def __init__(self, learning_rate=1e-3, *, rates=(), **kwargs):
        super().__init__(learning_rate, **kwargs)
        self._set_rates(rates)

    def update_step(self, gradient, variable, learning_rate):
        learning_rate = self._rate_of(variable, learning_rate)
        if self.amsgrad or tf.distribute.has_strategy():
            return super().update_step(gradient, variable, learning_rate)
        index = self._get_variable_index(variable)
        moments = self._momentums[index].value, self._velocities[index].value
        target = variable.value if isinstance(variable, keras.Variable) else variable
        dtype = target.dtype
        step = tf.cast(self.iterations.value + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=target.handle,
            m=moments[0].handle,
            v=moments[1].handle,
            beta1_power=tf.cast(self.beta_1, dtype) ** step,
            beta2_power=tf.cast(self.beta_2, dtype) ** step,
            lr=tf.cast(learning_rate, dtype),
            beta1=tf.cast(self.beta_1, dtype),
            beta2=tf.cast(self.beta_2, dtype),
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
        )

    def _apply_weight_decay(self, variables):
        if self.weight_decay is None or tf.distribute.has_strategy():
            return super()._apply_weight_decay(variables)
        for variable in variables:
            if self._use_weight_decay(variable):
                rate = self._rate_of(variable, self.learning_rate)
                rate = tf.cast(rate, variable.dtype) * self.weight_decay
                variable.assign(variable * (1 - rate))


@keras.saving.register_keras_serializable(package="zoo")
class Adafactor(_KnowsWeights, keras.optimizers.Adafactor):
    """Adafactor (Shazeer and Stern 2018, arXiv:1804.04235).

    Numerically `keras.optimizers.Adafactor`, but for the biases, norms and rates of
    `AdamW`, and its state is as small as the paper's: Keras (3.15) keeps a second
    moment as large as the weight beside the row and column that it is made of.

    Args:
        rates: As of `AdamW`.
        kwargs: As of `keras.optimizers.Adafactor`.
    """

    def __init__(self, learning_rate=1e-3, *, rates=(), **kwargs):
        super().__init__(learning_rate, **kwargs)
        self._set_rates(rates)

    def build(self, variables):
        if self.built:
            return
        # Past Keras's own `build`, which makes the large moment.
        keras.optimizers.Optimizer.build(self, variables)
        self._factors = tuple(self._factor(variable.path) for variable in variables)
        self._moments = [
            [
                self.add_variable(shape=shape, dtype=variable.dtype, name=variable.name)
                for shape in self._shapes(variable)
            ]
            for variable in variables
        ]

    @staticmethod
    def _shapes(variable):
        shape = tuple(variable.shape)
        if len(shape) < 2:
            return [shape]
        return [shape[:-1], (*shape[:-2], shape[-1])]

    def update_step(self, gradient, variable, learning_rate):
        moments = self._moments[self._get_variable_index(variable)]
        dtype = variable.dtype
        gradient = tf.cast(tf.convert_to_tensor(gradient), dtype)
        step = tf.cast(self.iterations.value + 1, dtype)
        rate = tf.cast(self._rate_of(variable, learning_rate), dtype)
        rate = tf.minimum(rate, tf.math.rsqrt(step))
        kept = 1 - step**self.beta_2_decay
        square = tf.square(gradient) + tf.cast(self.epsilon_1, dtype)
        if len(moments) == 1:
            moment = self._mixed(moments[0], square, kept)
        else:
            rows = self._mixed(moments[0], tf.reduce_mean(square, -1), kept)
            columns = self._mixed(moments[1], tf.reduce_mean(square, -2), kept)
            rows /= tf.reduce_mean(rows, -1, keepdims=True)
            moment = rows[..., None] * columns[..., None, :]
        change = gradient * tf.math.rsqrt(moment)
        size = tf.cast(_root_mean_square(change) / self.clip_threshold, dtype)
        scale = tf.maximum(_root_mean_square(variable), tf.cast(self.epsilon_2, dtype))
        variable.assign_sub(rate * scale / tf.maximum(size, 1) * change)

    @staticmethod
    def _mixed(moment, value, kept):
        mixed = kept * moment.value + (1 - kept) * value
        moment.assign(mixed)
        return mixed


def _root_mean_square(x):
    return tf.sqrt(tf.reduce_mean(tf.square(x)))
