"""SavedModels: written, loaded where there is nothing of ours, or refused."""

import resource

import numpy as np
import pytest
import tensorflow as tf

from zoo.errors import ExportError
from zoo.export import export_saved_model, run_in_clean_process

TEXT = {"text": tf.TensorSpec([None], tf.string, name="text")}


def lengths(text):
    return {"length": tf.strings.length(text)}


def test_it_runs_in_a_clean_process_with_variables_and_tables(tmp_path):
    factor = tf.Variable([2.0, 3.0])
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(["a", "b"], tf.constant([0, 1])), -1
    )
    holder = tf.Module()
    holder.table = table

    def look_up(text):
        return {"value": tf.gather(factor, table.lookup(text)), "text": text}

    where = export_saved_model(
        tmp_path / "x", {"serving_default": (look_up, TEXT)}, resources=[holder]
    )
    factor.assign([5.0, 7.0])  # too late
    found = run_in_clean_process(where, {"text": ["b", "a"]})
    assert found == {"value": [3.0, 2.0], "text": ["b", "a"]}


def test_a_version_is_a_directory_below(tmp_path):
    where = export_saved_model(
        tmp_path, {"serving_default": (lengths, TEXT)}, version=12
    )
    assert where == tmp_path / "12"
    assert (where / "saved_model.pb").is_file()


def test_writing_again_replaces_what_was_there(tmp_path):
    export_saved_model(tmp_path / "x", {"serving_default": (lengths, TEXT)})

    def twice(text):
        return {"length": 2 * tf.strings.length(text)}

    export_saved_model(tmp_path / "x", {"serving_default": (twice, TEXT)})
    serve = tf.saved_model.load(tmp_path / "x").signatures["serving_default"]
    np.testing.assert_array_equal(serve(text=tf.constant(["abc"]))["length"], [6])
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_full_disk_is_an_export_error_and_leaves_what_was_there(tmp_path):
    export_saved_model(tmp_path / "x", {"serving_default": (lengths, TEXT)})
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    table = tf.Variable(tf.zeros([10_000]))

    def look_up(text):
        return {"length": tf.gather(table, tf.strings.length(text))}

    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, most))  # stands for the disk
    try:
        with pytest.raises(ExportError, match=r"x could not be written .*as it was"):
            export_saved_model(tmp_path / "x", {"serving_default": (look_up, TEXT)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_directory_that_cannot_be_made_is_an_export_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match="could not be written"):
        export_saved_model(tmp_path / "file" / "x", {"a": (lengths, TEXT)})


def test_python_inside_the_graph_is_refused_by_name(tmp_path):
    def escape(text):
        return {"length": tf.py_function(len, [text], tf.int32)}

    with pytest.raises(ExportError, match=r"'serving_default' uses ops .* EagerPyFunc"):
        export_saved_model(tmp_path / "x", {"serving_default": (escape, TEXT)})
    assert not (tmp_path / "x").exists()


def test_ops_inside_called_functions_are_found_too(tmp_path):
    @tf.function
    def inner(text):
        return tf.numpy_function(lambda x: x, [text], tf.string)

    with pytest.raises(ExportError, match="PyFunc"):
        signature = (lambda text: {"text": inner(text)}, TEXT)
        export_saved_model(tmp_path / "x", {"serving_default": signature})


def test_text_ops_that_servers_lack_are_refused(tmp_path):
    tf_text = pytest.importorskip("tensorflow_text")

    def trim(text):
        parts = tf.RaggedTensor.from_row_lengths(text, [tf.size(text)])
        return {"text": tf_text.RoundRobinTrimmer(2).trim([parts, parts])[0].values}

    with pytest.raises(ExportError, match="RoundRobinTrim"):
        export_saved_model(tmp_path / "x", {"serving_default": (trim, TEXT)})


@pytest.mark.parametrize("version", [-1, 1.5, "1", True])
def test_a_version_is_a_number(tmp_path, version):
    with pytest.raises(ExportError, match="version"):
        export_saved_model(tmp_path, {"a": (lengths, TEXT)}, version=version)


def test_what_fails_in_the_clean_process_is_said(tmp_path):
    where = export_saved_model(tmp_path, {"serving_default": (lengths, TEXT)})
    with pytest.raises(ExportError, match="nothing_such"):
        run_in_clean_process(where, {"text": ["a"]}, signature="nothing_such")


def test_a_directory_without_a_saved_model_is_refused(tmp_path):
    for directory in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ExportError, match=r"holds no saved_model\.pb"):
            run_in_clean_process(directory, {"text": ["a"]})
