"""Weight tables: every weight and tensor accounted for, and the same values both ways.

The model is a made-up decoder that needs each kind of row once.
"""

from dataclasses import dataclass

import ml_dtypes
import numpy as np
import pytest

from zoo.checkpoints import (
    JOINED,
    TRANSPOSED,
    Checkpoint,
    Padded,
    Row,
    Stacked,
    Transform,
    WeightTable,
    plan,
    tensors_to_write,
    write_checkpoint,
)
from zoo.errors import CheckpointError


@dataclass(frozen=True)
class Config:
    hidden_size: int = 6
    vocab_size: int = 11
    intermediate_size: int = 10


TABLE = WeightTable(
    base=(
        Row("embeddings.token", "body.wte.weight", Padded(lambda c: c.vocab_size)),
        Row(
            "blocks.{i}.attention.qkv.kernel",
            tuple(f"body.h.{{i}}.attn.{part}.weight" for part in "qkv"),
            Stacked(lambda c: (c.hidden_size, 2, 2)),
        ),
        Row("blocks.{i}.attention.out.kernel", "body.h.{i}.attn.o.weight", TRANSPOSED),
        Row(
            ("blocks.{i}.feedforward.gate.kernel", "blocks.{i}.feedforward.up.kernel"),
            "body.h.{i}.mlp.gate_up.weight",
            JOINED,
        ),
        Row(
            "blocks.{i}.feedforward.down.kernel",
            ("body.h.{i}.mlp.d0", "body.h.{i}.mlp.d1"),
            Stacked(parts=2, transposed=True),
        ),
        Row("blocks.{i}.norm.scale", "body.h.{i}.LayerNorm.weight"),
        Row("blocks.{i}.norm.bias", "body.h.{i}.LayerNorm.bias"),
        Row("relative.table", "body.h.0.relative.weight"),
    ),
    heads={
        "pooler": (Row("pooler.kernel", "body.pooler.weight"),),
        "lm": (Row("lm.kernel", "lm_head.weight"), Row("lm.bias", "lm_head.bias")),
        "classes": (
            Row("classes.kernel", "classifier.weight"),
            Row("classes.bias", "classifier.bias"),
        ),
    },
    prefix="body.",
    aliases={
        "lm_head.weight": "body.wte.weight",
        "body.shared.weight": "body.wte.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    ignored=("body.h.{i}.attn.mask", "body.position_ids"),
    renames={"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"},
)
CONFIG = Config()
LAYER = {
    "attention.qkv.kernel": (10, 6),
    "attention.out.kernel": (6, 5),
    "feedforward.gate.kernel": (7, 6),
    "feedforward.up.kernel": (3, 6),
    "feedforward.down.kernel": (6, 10),
    "norm.scale": (6,),
}


def model(layers=12, **more):
    """Weights by path, of at least two-figure layer numbers, with random values."""
    random = np.random.default_rng(layers)
    shapes = {"embeddings.token": (16, 6), "relative.table": (2, 3)}
    shapes |= {
        f"blocks.{i}.{name}": shape
        for i in range(layers)
        for name, shape in LAYER.items()
    }
    shapes |= {path.replace("_", "."): shape for path, shape in more.items()}
    weights = {
        path: random.standard_normal(shape).astype(np.float32)
        for path, shape in shapes.items()
    }
    weights["embeddings.token"][11:] = 0  # padding of the vocabulary
    return weights


HEAD = {"classes_kernel": (3, 6), "classes_bias": (3,)}


def saved(directory, weights, *, heads=(), prefix=True, change=None, **options):
    """Writes weights; `change` may edit the dict of tensors before."""
    tensors = tensors_to_write(
        TABLE, weights, heads=heads, config=CONFIG, prefix=prefix
    )
    tensors = {name: np.array(tensor) for name, tensor in tensors.items()}
    if change:
        change(tensors)
    write_checkpoint(directory, tensors, **options)
    return directory


def planned(directory, weights, **options):
    with Checkpoint(directory) as checkpoint:
        return plan(TABLE, checkpoint, weights, config=CONFIG, **options)


def loaded(directory, weights, **options):
    with Checkpoint(directory) as checkpoint:
        return dict(plan(TABLE, checkpoint, weights, config=CONFIG, **options).arrays())


def refused(directory, weights, **options):
    with pytest.raises(CheckpointError) as caught:
        loaded(directory, weights, **options)
    return str(caught.value)


def check_equal(got, expected):
    assert got.keys() == expected.keys()
    for path, array in expected.items():
        assert got[path].dtype == array.dtype, path
        assert np.array_equal(got[path], array), path


# -- Both ways


@pytest.mark.parametrize("prefix", [True, False])
@pytest.mark.parametrize("limit", ["1GB", 700])
def test_weights_come_back_bit_for_bit(tmp_path, prefix, limit):
    weights = model(classes_kernel=(3, 6), classes_bias=(3,))
    saved(tmp_path, weights, heads=["classes"], prefix=prefix, max_shard_size=limit)
    check_equal(loaded(tmp_path, weights, heads=["classes"]), weights)


def test_tensors_have_the_names_and_values_of_the_table():
    weights = model(1, lm_kernel=(11, 6), lm_bias=(11,))
    tensors = tensors_to_write(TABLE, weights, heads=["lm"], config=CONFIG)
    qkv = weights["blocks.0.attention.qkv.kernel"]
    down = weights["blocks.0.feedforward.down.kernel"]
    expected = {
        "body.wte.weight": weights["embeddings.token"][:11],
        "body.h.0.attn.q.weight": qkv[:6],
        "body.h.0.attn.k.weight": qkv[6:8],
        "body.h.0.attn.v.weight": qkv[8:],
        "body.h.0.attn.o.weight": weights["blocks.0.attention.out.kernel"].T,
        "body.h.0.mlp.gate_up.weight": np.concatenate(
            [
                weights["blocks.0.feedforward.gate.kernel"],
                weights["blocks.0.feedforward.up.kernel"],
            ]
        ),
        "body.h.0.mlp.d0": down[:3].T,
        "body.h.0.mlp.d1": down[3:].T,
        "body.h.0.LayerNorm.weight": weights["blocks.0.norm.scale"],
        "body.h.0.relative.weight": weights["relative.table"],
        "lm_head.weight": weights["lm.kernel"],
        "lm_head.bias": weights["lm.bias"],
    }
    assert tensors.keys() == expected.keys()
    for name, array in expected.items():
        assert tensors[name].shape == array.shape
        assert tensors[name].dtype == np.float32
        assert np.array_equal(np.asarray(tensors[name]), array)


def test_a_body_that_is_saved_alone_has_no_prefix():
    names = tensors_to_write(
        TABLE, model(1, **HEAD), heads=["classes"], config=CONFIG, prefix=False
    )
    assert "wte.weight" in names and "classifier.weight" in names
    assert not any(name.startswith("body.") for name in names)


def test_values_are_taken_when_they_are_written():
    weights = model(1)
    tensors = tensors_to_write(TABLE, weights, config=CONFIG)
    weights["blocks.0.norm.scale"][:] = 7
    assert np.asarray(tensors["body.h.0.LayerNorm.weight"]).tolist() == [7] * 6


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_weights_are_read_in_their_own_dtype(tmp_path, dtype):
    weights = model(2)
    saved(tmp_path, weights)
    wanted = {path: array.astype(dtype) for path, array in weights.items()}
    check_equal(loaded(tmp_path, wanted), wanted)


def test_arrays_come_one_at_a_time_in_the_order_of_the_file(tmp_path):
    weights = model(3)
    saved(tmp_path, weights)
    with Checkpoint(tmp_path) as checkpoint:
        made = plan(TABLE, checkpoint, weights, config=CONFIG)
        starts = [
            min(checkpoint.tensors[name].start for name in step.tensors)
            for step in made.steps
        ]
        assert starts == sorted(starts)
        for _, array in made.arrays():
            assert array.ctypes.data % 64 == 0


class HeadsInterleaved(Transform):
    """Query, key and value rows that alternate head by head (GPT-NeoX), d = 2."""

    def views(self, weights, config):
        (weight,) = weights  # [3 * H * d, D]
        return [[weight.reshape(3, -1, 2, weight.shape[-1]).swapaxes(0, 1)]]

    def shapes(self, weights, config):
        return weights


def test_a_family_can_bring_a_transform_of_its_own(tmp_path):
    table = WeightTable(base=(Row("qkv", "qkv.weight", HeadsInterleaved()),))
    weight = np.arange(18 * 5, dtype=np.float32).reshape(18, 5)
    tensors = tensors_to_write(table, {"qkv": weight})
    stored = np.asarray(tensors["qkv.weight"]).reshape(18, 5)
    assert np.array_equal(
        stored.reshape(3, 3, 2, 5), weight.reshape(3, 3, 2, 5).swapaxes(0, 1)
    )
    write_checkpoint(tmp_path, {"qkv.weight": stored})
    with Checkpoint(tmp_path) as checkpoint:
        check_equal(
            dict(plan(table, checkpoint, {"qkv": weight}).arrays()), {"qkv": weight}
        )


# -- Names: renames, prefix, buffers, copies


def test_old_names_are_read_as_new_ones(tmp_path):
    def change(tensors):
        for name in list(tensors):
            if "LayerNorm" in name:
                tensors[name.replace(".weight", ".gamma")] = tensors.pop(name)

    weights = model(2)
    saved(tmp_path, weights, change=change)
    check_equal(loaded(tmp_path, weights), weights)


def test_two_names_of_one_weight_are_refused(tmp_path):
    def change(tensors):
        tensors["body.h.0.LayerNorm.gamma"] = np.zeros(6, np.float32)

    weights = model(1)
    saved(tmp_path, weights, change=change)
    assert "two names of one weight" in refused(tmp_path, weights)


@pytest.mark.parametrize("prefix", ["body.", ""])
def test_buffers_are_passed_over(tmp_path, prefix):
    def change(tensors):
        tensors[f"{prefix}h.0.attn.mask"] = np.full((2, 2), np.nan)
        tensors[f"{prefix}position_ids"] = np.arange(4)

    weights = model(1)
    saved(tmp_path, weights, prefix=bool(prefix), change=change)
    check_equal(loaded(tmp_path, weights), weights)
    assert sorted(planned(tmp_path, weights).ignored) == sorted(
        [f"{prefix}h.0.attn.mask", f"{prefix}position_ids"]
    )


@pytest.mark.parametrize("name", ["body.h.x.attn.mask", "body.h.00.attn.mask", "h.0.a"])
def test_names_that_only_resemble_a_buffer_are_unexpected(tmp_path, name):
    weights = model(1)
    saved(tmp_path, weights, change=lambda t: t.update({name: np.zeros(1)}))
    assert repr(name) in refused(tmp_path, weights)


def copy_as(*names):
    def change(tensors):
        for name in names:
            tensors[name] = tensors["body.wte.weight"].copy()

    return change


def test_tied_copies_may_be_there(tmp_path):
    weights = model(1)
    saved(tmp_path, weights, change=copy_as("lm_head.weight", "body.shared.weight"))
    check_equal(loaded(tmp_path, weights, heads=["lm"]), weights)
    made = planned(tmp_path, weights, heads=["lm"])
    assert {copy for copy, _ in made.copies} == {"lm_head.weight", "body.shared.weight"}
    assert made.summary() == ""


def test_a_tied_copy_that_differs_is_refused_before_anything_is_read(tmp_path):
    def change(tensors):
        copy_as("lm_head.weight")(tensors)
        tensors["lm_head.weight"][-1, -1] += 1e-6

    weights = model(1)
    saved(tmp_path, weights, change=change)
    with Checkpoint(tmp_path) as checkpoint:
        made = plan(TABLE, checkpoint, weights, heads=["lm"], config=CONFIG)
        with pytest.raises(CheckpointError, match="differs from 'body"):
            next(made.arrays())


def test_a_copy_stands_in_for_an_original_that_was_left_out(tmp_path):
    def change(tensors):
        copy_as("lm_head.weight", "body.shared.weight")(tensors)
        del tensors["body.wte.weight"]

    weights = model(1)
    saved(tmp_path, weights, change=change)
    check_equal(loaded(tmp_path, weights, heads=["lm"]), weights)


def test_an_untied_head_is_no_copy(tmp_path):
    weights = model(1, lm_kernel=(11, 6), lm_bias=(11,))
    saved(tmp_path, weights, heads=["lm"])
    check_equal(loaded(tmp_path, weights, heads=["lm"]), weights)


# -- Heads


def test_heads_that_the_class_lacks_are_listed(tmp_path):
    weights = model(1, lm_kernel=(11, 6), lm_bias=(11,), pooler_kernel=(6, 6), **HEAD)
    saved(
        tmp_path,
        weights,
        heads=["lm", "pooler", "classes"],
        change=lambda t: t.update({"lm_head.decoder.bias": t["lm_head.bias"]}),
    )
    body = model(1)
    check_equal(loaded(tmp_path, body), {path: weights[path] for path in body})
    made = planned(tmp_path, body)
    assert {head: sorted(names) for head, names in made.unused.items()} == {
        "lm": ["lm_head.bias", "lm_head.decoder.bias", "lm_head.weight"],
        "pooler": ["body.pooler.weight"],
        "classes": ["classifier.bias", "classifier.weight"],
    }
    assert not made.new and not made.copies
    assert made.summary().startswith("model.safetensors: not used by this class: ")
    assert "\n" not in made.summary()


@pytest.mark.parametrize("prefix", [True, False])
def test_heads_that_the_checkpoint_lacks_are_listed_and_left_alone(tmp_path, prefix):
    body = model(1)
    saved(tmp_path, body, prefix=prefix)
    weights = model(1, pooler_kernel=(6, 6), **HEAD)
    check_equal(loaded(tmp_path, weights, heads=["pooler", "classes"]), body)
    made = planned(tmp_path, weights, heads=["pooler", "classes"])
    assert made.new == {
        "pooler": ("pooler.kernel",),
        "classes": ("classes.kernel", "classes.bias"),
    }
    assert "newly initialised: pooler ('pooler.kernel'), classes" in made.summary()


def test_half_a_head_is_refused(tmp_path):
    weights = model(1, **HEAD)
    saved(
        tmp_path,
        weights,
        heads=["classes"],
        change=lambda t: t.pop("classifier.bias"),
    )
    assert "1 tensors are missing: 'classifier.bias'" in refused(
        tmp_path, weights, heads=["classes"]
    )


def test_a_head_may_start_anew_for_other_labels(tmp_path):
    weights = model(1, **HEAD)
    saved(tmp_path, weights, heads=["classes"])
    other = model(1, classes_kernel=(5, 6), classes_bias=(5,))
    assert "'classifier.weight' has shape [3, 6], this config needs [5, 6]" in refused(
        tmp_path, other, heads=["classes"]
    )
    check_equal(loaded(tmp_path, other, heads=["classes"], new=["classes"]), model(1))


# -- What does not fit


def test_shapes_are_compared_before_anything_is_read(tmp_path):
    weights = model(1)
    weights["blocks.0.feedforward.up.kernel"] = np.full((4, 6), np.nan, np.float32)
    saved(tmp_path, weights)
    assert refused(tmp_path, model(1)) == (
        "model.safetensors: tensor 'body.h.0.mlp.gate_up.weight' has shape [11, 6], "
        "this config needs [10, 6] (hidden_size=6, vocab_size=11, "
        "intermediate_size=10). Is config.json from another checkpoint?"
    )


@pytest.mark.parametrize("shape", [(6, 5), (5, 6, 1), (30,)])
def test_a_transposed_tensor_must_be_transposed(tmp_path, shape):
    def change(tensors):
        tensors["body.h.0.attn.o.weight"] = np.zeros(shape, np.float32)

    saved(tmp_path, model(1), change=change)
    assert f"has shape {list(shape)}, this config needs [5, 6]" in refused(
        tmp_path, model(1)
    )


def test_each_part_of_a_stack_has_its_own_size(tmp_path):
    def change(tensors):  # the sum would be right
        q, k = (f"body.h.0.attn.{part}.weight" for part in "qk")
        tensors[q], tensors[k] = tensors[q][:4], np.zeros((4, 6), np.float32)

    saved(tmp_path, model(1), change=change)
    assert "'body.h.0.attn.q.weight' has shape [4, 6]" in refused(tmp_path, model(1))


def test_integers_where_weights_are_needed_are_refused_by_name(tmp_path):
    def change(tensors):
        tensors["body.h.0.attn.o.weight"] = np.zeros((5, 6), np.int8)

    saved(tmp_path, model(1), change=change)
    message = refused(tmp_path, model(1))
    assert "'body.h.0.attn.o.weight' holds int8; float32 is needed" in message


def test_missing_and_unexpected_tensors_are_named_together(tmp_path):
    def change(tensors):
        tensors["body.h.0.LayerNorm.wieght"] = tensors.pop("body.h.0.LayerNorm.weight")

    saved(tmp_path, model(1), change=change)
    message = refused(tmp_path, model(1))
    assert "1 tensors are missing: 'body.h.0.LayerNorm.weight'" in message
    assert "not known to this model: 'body.h.0.LayerNorm.wieght'" in message
    assert (
        "did 'body.h.0.LayerNorm.wieght' mean 'body.h.0.LayerNorm.weight'?" in message
    )


@pytest.mark.parametrize(("have", "need"), [(3, 2), (2, 3)])
def test_a_layer_too_many_or_too_few_is_refused(tmp_path, have, need):
    saved(tmp_path, model(have))
    message = refused(tmp_path, model(need))
    assert "'body.h.2." in message and "and 4 more" in message


def test_a_bias_that_the_config_switches_off_is_refused(tmp_path):
    weights = model(1, blocks_0_norm_bias=(6,))
    saved(tmp_path, weights)
    check_equal(loaded(tmp_path, weights), weights)
    assert "'body.h.0.LayerNorm.bias'" in refused(tmp_path, model(1))


def test_thousands_of_strange_names_cost_little(tmp_path):
    def change(tensors):
        for i in range(16_000):
            tensors[f"body.h.{i}.attn.qq.weight"] = np.zeros(0, np.float32)

    saved(tmp_path, model(1), change=change)
    message = refused(tmp_path, model(1))
    assert "16000 tensors are not known" in message and len(message) < 1000


# -- Mistakes of whoever writes a table


def test_a_weight_without_a_row_is_named(tmp_path):
    saved(tmp_path, model(1))
    weights = model(1, extra_kernel=(2, 2))
    assert "'extra.kernel' have no row" in refused(tmp_path, weights)
    with pytest.raises(CheckpointError, match=r"'extra\.kernel' have no row"):
        tensors_to_write(TABLE, weights, config=CONFIG)


def test_the_weights_of_a_head_that_was_not_asked_for_are_named(tmp_path):
    saved(tmp_path, model(1))
    assert "'classes.kernel', 'classes.bias'" in refused(tmp_path, model(1, **HEAD))


def test_a_head_that_the_family_lacks_is_named(tmp_path):
    saved(tmp_path, model(1))
    message = refused(tmp_path, model(1), heads=["detection"])
    assert "'detection'" in message and "'classes', 'lm', 'pooler'" in message


def test_a_row_with_only_some_of_its_weights_is_named():
    weights = model(1)
    del weights["blocks.0.feedforward.up.kernel"]
    with pytest.raises(CheckpointError, match=r"up\.kernel' that rows name"):
        tensors_to_write(TABLE, weights, config=CONFIG)


def test_two_rows_for_one_weight_are_refused():
    table = WeightTable(base=(Row("a.{i}", "x.{i}"), Row("a.0", "y")))
    with pytest.raises(CheckpointError, match=r"'a\.0' has 2 rows"):
        tensors_to_write(table, {"a.0": np.zeros(1)})


def test_sizes_that_do_not_add_up_are_refused():
    for transform in (Stacked(), Stacked(lambda config: (3, 3, 3))):
        table = WeightTable(base=(Row("a", ("q", "k", "v"), transform),))
        with pytest.raises(CheckpointError, match="cannot be split into rows"):
            tensors_to_write(table, {"a": np.zeros((10, 2))})
