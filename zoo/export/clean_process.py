"""Running a SavedModel in a process with TensorFlow and TF Text and nothing of ours.

The stand-in for TF Serving where there is no server: what works there needs no Python
of zoo or Keras.
"""

import json
import subprocess
import sys
from pathlib import Path

from zoo.errors import ExportError

# The finders that Python asks for modules are wrapped, so that zoo and Keras are not
# found although they are installed. TF Text's Python package cannot do without Keras
# (2.20); its kernels can, and they are what a server links.
PREPARATION = """
import importlib.util, json, pathlib, sys

class Hide:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in ("zoo", "keras", "tf_keras")
        return None if hidden else self.finder.find_spec(name, path, target)

sys.meta_path = [Hide(finder) for finder in sys.meta_path]
import tensorflow as tf

text = importlib.util.find_spec("tensorflow_text").submodule_search_locations[0]
for library in sorted(pathlib.Path(text, "python", "ops").glob("*.so")):
    tf.load_op_library(str(library))
"""
CALL = """
directory, name, inputs = json.load(sys.stdin)
serve = tf.saved_model.load(directory).signatures[name]
specs = serve.structured_input_signature[1]
types = {key: specs[key].dtype for key in inputs if key in specs}
inputs = {key: tf.constant(value, types.get(key)) for key, value in inputs.items()}
found = serve(**inputs)
loaded = {"zoo", "keras", "tf_keras"} & set(sys.modules)
assert not loaded, loaded

def plain(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

def lists(value):
    return [lists(x) for x in value] if isinstance(value, list) else plain(value)

print(json.dumps({key: lists(value.numpy().tolist()) for key, value in found.items()}))
"""


def run_in_clean_process(directory, inputs, *, signature="serving_default"):
    """Calls a signature of a SavedModel where zoo and Keras cannot be imported.

    Args:
        directory: The directory with `saved_model.pb`.
        inputs: Name -> list of str or numbers.
        signature: Name of the signature.

    Returns:
        dict of lists, by name of the output.

    Raises:
        ExportError: if there is no SavedModel, or with what the process said, if it
            failed.
    """
    directory = Path(directory).absolute()
    if not (directory / "saved_model.pb").is_file():
        raise ExportError(
            f"{directory} holds no saved_model.pb. Pass the directory that "
            "export_saved_model returned; with a version it lies below the one given."
        )
    done = _run(directory, json.dumps([str(directory), signature, dict(inputs)]))
    if done.returncode:
        raise ExportError(
            f"{directory} does not run in a clean process:\n{done.stderr[-2000:]}"
        )
    return json.loads(done.stdout.splitlines()[-1])


def _run(directory, request):
    """The process that has answered a request, a line of JSON."""
    return subprocess.run(
        [sys.executable, "-c", PREPARATION + CALL],
        input=request,
        capture_output=True,
        text=True,
        cwd=directory,
    )
