"""SavedModels for TF Serving, from functions of tensors and what they need.

What is written holds the variables and tables that the functions use and nothing else:
no Keras object, no optimizer, no Python. XLA is left out: servers switch it off.
"""

from pathlib import Path

import tensorflow as tf

from zoo.errors import ExportError
from zoo.files import staged_directory

# Ops of TF Text that TF Serving links, beside TensorFlow's own.
SERVED_TEXT_OPS = frozenset(
    """
    CaseFoldUTF8 NormalizeUTF8 NormalizeUTF8WithOffsetsMap FindSourceOffsets
    FastBertNormalize FastWordpieceTokenizeWithOffsets TFText>FastWordpieceDetokenize
    WordpieceTokenizeWithOffsets RegexSplitWithOffsets
    SentencepieceOp SentencepieceTokenizeOp SentencepieceTokenizeWithOffsetsOp
    SentencepieceDetokenizeOp SentencepieceVocabSizeOp SentencepieceIdToStringOp
    SentencepieceStringToIdOp TFText>FastSentencepieceTokenize
    TFText>FastSentencepieceDetokenize
    """.split()
)
PYTHON_OPS = frozenset(("PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunction"))


def export_saved_model(directory, signatures, *, resources=(), version=None):
    """Writes a SavedModel.

    It is written beside and moved, so that a server that polls the directory, or a
    failure, never meets half of it.

    Args:
        directory: Made if it does not exist.
        signatures: Name -> `(function, inputs)`: a function from tensors to a
            dictionary of tensors, and its arguments in order, `tf.TensorSpec` by name.
        resources: Trackable objects whose tables the functions use, such as tokenizers.
        version: None writes into `directory` itself; a number into a directory of that
            name below it, as TF Serving wants it.

    Returns:
        Path of the directory with `saved_model.pb`.

    Raises:
        ExportError: if a function uses an op that TF Serving does not link, or the
            directory cannot be written; what was there before is then as it was.
    """
    directory = Path(directory)
    if version is not None:
        if isinstance(version, bool) or not isinstance(version, int) or version < 0:
            raise ExportError(f"version={version!r}: expected a number from 0 on.")
        directory = directory / str(version)
    module = tf.Module(name="served")
    module.resources = list(resources)
    functions = {
        name: tf.function(
            function, autograph=False, jit_compile=False
        ).get_concrete_function(*inputs.values())
        for name, (function, inputs) in signatures.items()
    }
    for name, function in functions.items():
        foreign = sorted(ops_of(function) - _served_ops())
        if foreign:
            raise ExportError(
                f"signature {name!r} uses ops that TF Serving does not link: "
                f"{', '.join(foreign)}. Build it from TensorFlow's own ops, without "
                "tf.py_function."
            )
    module.used = list(
        {id(v): v for f in functions.values() for v in f.graph.variables}.values()
    )
    with staged_directory(directory, error=ExportError) as stage:
        try:
            tf.saved_model.save(module, str(stage), signatures=functions)
        except tf.errors.OpError as problem:  # of TensorFlow's own file system
            raise OSError(problem.message) from problem
    return directory


def ops_of(function):
    """Names of the ops in a concrete function and in all functions that it calls."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    called = {f.signature.name for f in graph.library.function}
    return {node.op for node in nodes} - called


def _served_ops():
    # The module is generated when TensorFlow is built: ops of other libraries that are
    # loaded into this process are not in it.
    core = {name for name in dir(tf.raw_ops) if not name.startswith("__")}
    hidden = {"_Arg", "_Retval"}
    return (core | hidden | SERVED_TEXT_OPS) - PYTHON_OPS
