"""AdamW in one pass over memory, with no decay on biases and norms."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="zoo")
class AdamW(keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101).

    Numerically `keras.optimizers.AdamW`, but for two things: weights of one dimension
    (biases, norms) do not decay, and the update of a weight is one TensorFlow kernel
    where Keras runs a dozen, each of which reads and writes the whole weight.
    """

    def update_step(self, gradient, variable, learning_rate):
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

    def _use_weight_decay(self, variable):
        return len(variable.shape) > 1 and super()._use_weight_decay(variable)

    def _apply_weight_decay(self, variables):
        if self.weight_decay is None or tf.distribute.has_strategy():
            return super()._apply_weight_decay(variables)
        for variable in variables:
            if self._use_weight_decay(variable):
                rate = tf.cast(self.learning_rate, variable.dtype) * self.weight_decay
                variable.assign(variable * (1 - rate))
