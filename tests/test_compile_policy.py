"""Whether XLA compiles: the rule on a machine without an accelerator."""

import pytest
import tensorflow as tf

from zoo import compile_policy
from zoo.compile_policy import jit_compile
from zoo.errors import ConfigError

pytestmark = pytest.mark.skipif(
    bool(tf.config.list_physical_devices("GPU")), reason="the rule of a CPU"
)


def test_on_a_cpu_xla_decodes_and_does_not_train():
    assert jit_compile() is False
    assert jit_compile(work="decoding") is True


def test_what_cannot_be_had_is_refused_with_the_reason():
    with pytest.raises(ConfigError, match="XLA has no strings"):
        jit_compile(True, string_inputs=True)
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        with pytest.raises(ConfigError, match="distribution strategy"):
            jit_compile(True)
        assert jit_compile(work="decoding") is False


def test_op_determinism_takes_the_place_of_xla(monkeypatch):
    monkeypatch.setattr(compile_policy, "is_op_determinism_enabled", lambda: True)
    with pytest.raises(ConfigError, match="op determinism is enabled"):
        jit_compile(True)
    assert jit_compile(work="decoding") is False
