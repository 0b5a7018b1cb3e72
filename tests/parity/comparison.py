"""This side: zoo's model of the same checkpoint, and how far apart the two are."""

import numpy as np
import tensorflow as tf

import zoo
from tests.parity import reference
from tests.parity.cases import CASES, HEADS
from zoo.checkpoints import tensors_to_write
from zoo.families import FAMILIES, family_for

MODELS = {
    "encoder": zoo.BertModel,
    "decoder": zoo.GPTModel,
    "encoder_decoder": zoo.T5Model,
    "sequence_classification": zoo.TextClassifier,
    "token_classification": zoo.TokenClassifier,
    "masked_lm": zoo.MaskedLM,
}


def model_class(family, architecture=None):
    """The zoo class that loads this family, or that has this head."""
    return MODELS[architecture or FAMILIES[family].assembly]


def run_model(model, inputs, labels):
    """What `reference.run_reference` gives, in numpy, computed by zoo."""
    inputs = {name: tf.constant(value) for name, value in inputs.items()}
    output, loss, gradients = step(model, inputs, tf.constant(labels))
    states = model.hidden_states(inputs)
    if not isinstance(states, dict):
        states = {"": states}
    return {
        "output": output.numpy(),
        "states": {name: [x.numpy() for x in every] for name, every in states.items()},
        "loss": float(loss),
        "gradients": gradients_by_tensor(model, gradients),
    }


def step(model, inputs, labels):
    """Output, loss and gradients, of ops that run eagerly, in a graph and under XLA."""
    valid = labels != reference.IGNORED
    with tf.GradientTape() as tape:
        output = model(inputs, training=False)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
            tf.where(valid, labels, 0), output
        )
        weight = tf.cast(valid, entropy.dtype)
        loss = tf.reduce_sum(entropy * weight) / tf.reduce_sum(weight)
        if getattr(model, "pooler", None) is not None:
            rows = tf.cast(tf.reduce_any(valid, 1), loss.dtype)
            pooled = tf.reduce_mean(tf.square(model.pooled_output(output)), 1)
            loss += tf.reduce_sum(pooled * rows) / tf.reduce_sum(rows)
    return output, loss, tape.gradient(loss, [w.value for w in model.trainable_weights])


def gradients_by_tensor(model, gradients):
    """Gradients under HF's names and in HF's layout, through the family's own table."""
    arrays = {
        id(weight): np.asarray(tf.convert_to_tensor(gradient))
        for weight, gradient in zip(model.trainable_weights, gradients, strict=True)
    }
    config, family = model.config, family_for(model.config, model.assembly)
    lazy = tensors_to_write(
        family.table_for(config, model.architecture),
        {path: arrays[id(w)] for path, w in model.weights_by_path().items()},
        heads=model.heads,
        config=config,
        prefix=model.architecture != "model",
    )
    return {name: np.asarray(tensor) for name, tensor in lazy.items()}


def distance(ours, theirs, *, floor=1.0):
    """Largest difference, in units of the largest reference value but at least `floor`.

    Infinite where a number is not finite.
    """
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    if not np.isfinite(ours).all():
        return np.inf
    return float(np.abs(ours - theirs).max() / max(floor, np.abs(theirs).max()))


def distances(ours, theirs, inputs):
    """Distance of each kind of result: output, states, loss, gradients.

    Outputs and states are compared at valid positions and must be finite everywhere.
    Of a gradient that is tiny everywhere (that of a key bias is zero but for rounding)
    the unit is a hundredth of the largest gradient of the model.
    """
    valid = reference.output_mask(inputs)
    encoder_valid = inputs["attention_mask"] != 0
    rows = reference.valid_rows(inputs)
    mask = valid if ours["output"].ndim == 3 else rows
    result = {"output": at_valid(ours["output"], theirs["output"], mask)}
    assert ours["states"].keys() == theirs["states"].keys()
    result["states"] = 0.0
    for name, states in theirs["states"].items():
        mask = encoder_valid if name == "encoder" else valid
        for mine, other in zip(ours["states"][name], states, strict=True):
            result["states"] = max(result["states"], at_valid(mine, other, mask))
    result["loss"] = distance(ours["loss"], theirs["loss"])
    # Of two copies of one weight the reference may use one alone.
    unused = ours["gradients"].keys() - theirs["gradients"].keys()
    assert unused <= {"cls.predictions.bias", "cls.predictions.decoder.bias"}
    assert not theirs["gradients"].keys() - ours["gradients"].keys()
    floor = 0.01 * max(np.abs(g).max() for g in theirs["gradients"].values())
    result["gradients"] = max(
        distance(ours["gradients"][name], gradient, floor=floor)
        for name, gradient in theirs["gradients"].items()
    )
    return result


def at_valid(ours, theirs, mask):
    if not np.isfinite(ours).all():
        return np.inf
    return distance(ours[mask], theirs[mask])


def compare(family, name, directory):
    """Distances of one case, whose reference is saved to `directory` on the way."""
    return compare_settings(family, CASES[family][name], directory)


def compare_head(name, directory):
    """The same for one of the task heads."""
    family, architecture, settings = HEADS[name]
    return compare_settings(family, settings, directory, architecture)


def compare_settings(family, settings, directory, architecture=None):
    theirs = reference.reference_model(family, settings, architecture=architecture)
    theirs.save_pretrained(directory)
    ours = model_class(family, architecture).from_pretrained(directory)
    inputs = reference.batch(family, settings, architecture=architecture)
    labels = labels_for(ours, inputs)
    return distances(
        run_model(ours, inputs, labels),
        reference.run_reference(theirs, inputs, labels),
        inputs,
    )


def labels_for(model, inputs):
    """Random labels for what a model gives, `[B, T]`, or `[B]` for a classifier."""
    config = model.config
    if model.architecture == "sequence_classification":
        return reference.labels_of(reference.valid_rows(inputs), len(config.id2label))
    classes = config.vocab_size
    if model.architecture == "token_classification":
        classes = len(config.id2label)
    if model.architecture == "model":
        classes = config.hidden_size
    return reference.labels_of(reference.output_mask(inputs), classes)


def compiled(model, *, jit_compile):
    """`step` of a model as a graph."""

    @tf.function(jit_compile=jit_compile)
    def call(inputs, labels):
        output, loss, gradients = step(model, inputs, labels)
        return output, loss, [tf.convert_to_tensor(g) for g in gradients]

    return call
