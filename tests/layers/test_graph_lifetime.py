"""Custom gradients are found as long as there is their graph, and no longer."""

import gc
import weakref

import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

from zoo.layers.graph_lifetime import let_graphs_go

let_graphs_go()


@tf.custom_gradient
def doubled(x):
    """Twice x, whose gradient is given as a tenth of it."""
    y = 2 * x
    return y, lambda upstream: upstream * y / 20


def of_a_step(x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = doubled(x)
    return tape.gradient(y, x)


def of_a_loop(x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, doubled(y)), (0, x))
    return tape.gradient(y[1], x)


def of_replicas(x):
    [found] = tf.distribute.get_replica_context().all_reduce("SUM", [of_a_step(x)])
    return found


@pytest.mark.usefixtures("little_to_collect")
@pytest.mark.parametrize(
    ("function", "expected"),
    [(of_a_step, 0.3), (of_a_loop, 0.18), (of_replicas, 0.3), (doubled, 0.3)],
)
def test_a_graph_goes_with_its_function(function, expected):
    before = len(ops.gradient_registry.list())
    x, compiled = tf.constant(3.0), tf.function(function, autograph=False)
    with tf.GradientTape() as tape:
        tape.watch(x)
        found = compiled(x)
    if function is doubled:  # by a tape that is outside of the graph
        found = tape.gradient(found, x)
    assert float(found) == pytest.approx(expected)
    assert len(ops.gradient_registry.list()) > before
    graph = weakref.ref(compiled.get_concrete_function(x).graph)
    del compiled, tape
    gc.collect()
    assert graph() is None
    assert len(ops.gradient_registry.list()) == before


def test_gradients_of_tensorflow_are_the_same_in_a_graph_as_without():
    x, found = tf.constant([-1.0, 3.0]), []
    for call in (tf.nn.silu, tf.function(lambda x: tf.nn.silu(x))):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = call(x)
        found.append(tape.gradient(y, x).numpy())
    assert found[0] == pytest.approx(found[1])
