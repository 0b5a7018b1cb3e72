"""A graph goes with its function, though there are custom gradients in it.

In a graph, TensorFlow enters each custom gradient (of ours, of `tf.nn.silu`, of what
adds up gradients of replicas) under a name of its own into a table of the process, and
takes none out again. A gradient holds tensors of its graph: so every graph that was
ever traced to train would stay in memory (tensorflow#27492, #97697; 12 MB for each
trial of a search with a tiny model).
"""

import functools
import weakref

import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.ops import custom_gradient


def let_graphs_go():
    """Has the operation that a custom gradient is of hold it, and the table no longer.

    For all graphs that this process traces from now on. Gradients are found as before
    for as long as there is their graph; where TensorFlow has no such table, nothing is
    changed.
    """
    make = getattr(custom_gradient, "_graph_mode_decorator", None)
    if make is None or hasattr(make, "__wrapped__"):
        return

    @functools.wraps(make)
    def make_and_release(*arguments):
        found = make(*arguments)
        for tensor in tf.nest.flatten(found, expand_composites=True):
            if tf.is_tensor(tensor) and tensor.op.type == "IdentityN":
                _release(tensor.op)
                break
        return found

    custom_gradient._graph_mode_decorator = make_and_release


def _release(operation):
    name = operation.get_attr("_gradient_op_type").decode()
    table = ops.gradient_registry._registry
    gradient = table[name]["type"]
    reference = weakref.ref(gradient)
    table[name]["type"] = lambda *upstream: reference()(*upstream)
    weakref.finalize(gradient, table.pop, name, None)
    operation._zoo_gradient = gradient
