"""Attention: which kernels TensorFlow makes of it."""

import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from zoo.config import TransformerConfig
from zoo.layers.stack import Stack


def kernels(function, *arguments):
    """The operations that a graph has once TensorFlow has rewritten it."""
    context.enable_run_metadata()
    try:
        function(*arguments)
        graphs = context.export_run_metadata().partition_graphs
    finally:
        context.disable_run_metadata()
    nodes = [node for graph in graphs for node in graph.node]
    nodes += [n for g in graphs for f in g.library.function for n in f.node_def]
    return {node.op for node in nodes}


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_product_is_not_fused_with_a_bias_that_rows_share(checkpointing):
    # oneDNN computes the fused form of it by its reference kernel.
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    config = TransformerConfig(vocab_size=9, num_hidden_layers=1, **sizes)
    stack = Stack(config, causal=True)
    stack.build()
    stack.gradient_checkpointing = checkpointing

    @tf.function
    def run(x):
        with tf.GradientTape() as tape:
            y = stack(x, training=checkpointing)
        if checkpointing:
            return tape.gradient(y, stack.trainable_weights[0].value)
        return y

    found = kernels(run, tf.ones([2, 3, 8]))
    assert found & {"_MklBatchMatMulV2", "BatchMatMulV2"}
    assert not {op for op in found if "Fused" in op and "BatchMatMul" in op}
