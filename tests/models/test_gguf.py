"""Models from GGUF files: weights, tokenizer and template, whole or not at all."""

import json
import shutil
import time
import tracemalloc

import keras
import numpy as np
import pytest
import safetensors.numpy

from tests import gguf_files as files
from tests.families.test_gguf import expected
from zoo.errors import CheckpointError, TokenizerError
from zoo.files import find_gguf
from zoo.models import BertModel, GPTModel

LAYERS = {f"{arch}.block_count": 1 for arch in ("llama", "qwen2", "gpt2")}
# The bytes of GPT-2's alphabet are pieces enough, and one merge.
PIECES = ["<|end|>", *"abcdefghijklmnopqrstuvwxyzĠ", "th"]
TOKENIZER = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": PIECES,
    "tokenizer.ggml.token_type": [3] + [1] * (len(PIECES) - 1),
    "tokenizer.ggml.merges": ["t h"],
    "tokenizer.ggml.eos_token_id": 0,
    "tokenizer.chat_template": "{{ messages[0]['content'] }}",
}
IDS = np.array([[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8]])


def write(path, arch="llama", kind="Q8_0", tensors=None, **changes):
    given = files.settings_of(arch, **{**TOKENIZER, **LAYERS, **changes})
    given = {
        key: value
        for key, value in given.items()
        if value is not None and key.split(".")[0] in (arch, "general", "tokenizer")
    }
    if tensors is None:
        tensors = files.random_tensors(arch, kind, layers=1)
    return files.write(path, given, tensors)


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "tiny.gguf")


@pytest.mark.parametrize(
    ("arch", "kind"), [("llama", "Q4_K"), ("qwen2", "Q5_0"), ("gpt2", "Q6_K")]
)
def test_a_model_saved_again_holds_the_dequantised_tensors(tmp_path, arch, kind):
    tensors = files.random_tensors(arch, kind, layers=1)
    path = write(tmp_path / "tiny.gguf", arch, tensors=tensors)
    model = GPTModel.from_pretrained(path)
    model.save_pretrained(tmp_path / "saved")
    saved = safetensors.numpy.load_file(tmp_path / "saved" / "model.safetensors")
    wanted = dict(expected(arch, own, v) for own, (_, _, v) in tensors.items())
    assert saved.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_array_equal(saved[name], values)
    again = GPTModel.from_pretrained(tmp_path / "saved")
    assert again.config == model.config
    np.testing.assert_array_equal(again(IDS), model(IDS))


def test_the_tokenizer_and_the_template_come_along(path, tmp_path):
    model = GPTModel.from_pretrained(path)
    assert model.tokenizer.chat_template == "{{ messages[0]['content'] }}"
    ids = model.tokenizer(["the end"])["input_ids"].numpy()
    assert model.tokenizer.decode(ids[0]) == "the end"
    assert ids[0][0] == PIECES.index("th")
    model.save_pretrained(tmp_path / "saved")
    again = GPTModel.from_pretrained(tmp_path / "saved").tokenizer
    assert again.chat_template == model.tokenizer.chat_template
    assert again.get_vocab() == model.tokenizer.get_vocab()
    assert (again.eos_token_id, again.model_max_length) == (0, 32)


def test_a_tokenizer_that_is_not_known_keeps_nobody_from_the_weights(tmp_path):
    path = write(tmp_path / "x.gguf", **{"tokenizer.ggml.pre": "tekken"})
    model = GPTModel.from_pretrained(path)
    assert model(IDS).shape == (2, 6, files.VOCABULARY)
    with pytest.raises(TokenizerError, match="'tekken'"):
        _ = model.tokenizer
    path = write(tmp_path / "x.gguf", **dict.fromkeys(TOKENIZER))
    with pytest.raises(CheckpointError, match="no tokenizer"):
        _ = GPTModel.from_pretrained(path).tokenizer


def test_a_tied_model_has_no_head_of_its_own(tmp_path):
    tensors = files.random_tensors("llama", layers=1, tied=True)
    model = GPTModel.from_pretrained(write(tmp_path / "x.gguf", tensors=tensors))
    assert model.config.tie_word_embeddings and model.lm_head is None


@pytest.mark.parametrize("dtype", ["bfloat16", "mixed_bfloat16"])
def test_weights_become_the_dtype_that_is_asked_for(path, dtype):
    model = GPTModel.from_pretrained(path, dtype=dtype)
    whole = GPTModel.from_pretrained(path)
    for one, other in zip(model.weights, whole.weights, strict=True):
        wanted = other.numpy().astype(one.numpy().dtype)
        np.testing.assert_array_equal(one.numpy(), wanted)


def test_a_model_that_exists_is_filled(path):
    model = GPTModel.from_pretrained(path)
    before = np.asarray(model(IDS))
    for weight in model.weights:
        weight.assign(keras.ops.zeros_like(weight))
    model.load_checkpoint(path)
    np.testing.assert_array_equal(model(IDS), before)


def test_a_load_that_fails_leaves_the_model_as_it_was(path, tmp_path):
    model = GPTModel.from_pretrained(path)
    before = np.asarray(model(IDS))
    content = bytearray(path.read_bytes())
    content[-64:] = b"\xff" * 64  # NaN, in the last tensor
    other = tmp_path / "other.gguf"
    other.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"other\.gguf.*holds nan"):
        model.load_checkpoint(other)
    np.testing.assert_array_equal(model(IDS), before)


# -- Sources


def test_a_directory_with_one_file_is_enough(path):
    assert GPTModel.from_pretrained(path.parent)(IDS).shape[-1] == files.VOCABULARY
    shutil.copy(path, path.parent / "b.gguf")
    with pytest.raises(CheckpointError, match=r"2 GGUF files, b\.gguf, tiny\.gguf"):
        GPTModel.from_pretrained(path.parent)


def test_a_config_beside_it_is_taken_first(path):
    GPTModel.from_pretrained(path).save_pretrained(path.parent)
    assert find_gguf(path.parent) is None
    assert find_gguf(path) == path


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("absent.gguf", "there is no such file"),
        ("./absent/of/x.gguf", "there is no such file"),
        ("a/b/c/x.gguf", "there is no such file"),
        ("/absent/x.gguf", "there is no such file"),
        ("owner/name/x.gguf", "the hub did not give it"),
    ],
)
def test_a_file_that_is_not_there_is_said_to_be_absent(source, said):
    with pytest.raises(CheckpointError, match=said):
        GPTModel.from_pretrained(source)


def test_a_local_file_has_no_revision(path):
    with pytest.raises(CheckpointError, match="revision='main'"):
        GPTModel.from_pretrained(path, revision="main")


def test_a_link_out_of_a_directory_is_refused(path, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.gguf").symlink_to(path)
    with pytest.raises(CheckpointError, match="outside the directory"):
        GPTModel.from_pretrained(tmp_path / "other")
    linked = GPTModel.from_pretrained(tmp_path / "other" / "x.gguf")
    assert linked.config.hidden_size == 256


# -- What does not fit


def test_another_class_says_which_fits(path):
    with pytest.raises(CheckpointError, match=r"Use zoo\.GPTModel"):
        BertModel.from_pretrained(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"llama.block_count": 2}, "model.layers.1"),
        ({"llama.block_count": 60_000}, "num_hidden_layers=60000"),
        ({"llama.block_count": (1 << 32) - 1}, "num_hidden_layers"),
        ({"llama.embedding_length": 512}, "embed_tokens"),
        ({"llama.attention.key_length": 128}, "q_proj"),
        ({"llama.feed_forward_length": 1 << 31}, "intermediate_size"),
        ({"llama.attention.head_count": 3}, "attn_q"),
        ({"llama.rope.freq_base": float("nan")}, "rope_theta"),
        ({"llama.rope.freq_base": "many"}, "rope_theta"),
        ({"llama.context_length": [1]}, "max_position_embeddings"),
        ({"tokenizer.ggml.eos_token_id": "last"}, "eos_token_id"),
    ],
)
def test_settings_that_do_not_fit_the_tensors_are_refused_at_once(
    tmp_path, changes, said
):
    given = {**LAYERS, **changes}
    tensors = files.random_tensors("llama", "Q8_0", layers=1)
    settings = {**files.settings_of("llama", **TOKENIZER), **given}
    settings = {k: v for k, v in settings.items() if not k.startswith(("qwen", "gpt"))}
    path = files.write(tmp_path / "x.gguf", settings, tensors)
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(CheckpointError) as caught:
            GPTModel.from_pretrained(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    text = " ".join([str(caught.value), *caught.value.__notes__])
    assert said in text and "x.gguf" in text
    assert time.process_time() - start < 3  # tracing takes its time
    assert peak < 64 << 20


def test_a_tensor_too_few_or_too_many_is_named(tmp_path):
    tensors = files.random_tensors("llama", layers=1)
    del tensors["blk.0.ffn_up.weight"]
    with pytest.raises(CheckpointError, match=r"missing: .*mlp\.up_proj\.weight"):
        GPTModel.from_pretrained(write(tmp_path / "x.gguf", tensors=tensors))
    tensors = files.random_tensors("llama", layers=1)
    tensors["blk.7.ffn_up.weight"] = tensors["blk.0.ffn_up.weight"]
    with pytest.raises(CheckpointError, match=r"not known.*layers\.7"):
        GPTModel.from_pretrained(write(tmp_path / "x.gguf", tensors=tensors))


# -- The real one

PASSAGE = """\
Water is one of the most common substances on Earth. It covers about seventy percent of
the surface of our planet, most of it in the oceans. Water can exist in three states: as
a solid, as a liquid, and as a gas. When water is cooled below zero degrees Celsius it
freezes and becomes ice, and when it is heated to one hundred degrees it boils and
becomes steam. All living things need water to survive. The water cycle describes how
water moves through the environment: it evaporates from the oceans, forms clouds, falls
as rain or snow, and flows back to the sea in rivers.
""".replace("\n", " ").strip()
OTHERS = [
    "def f(x):\n\treturn [i ** 2 for i in range(1024)]  # 3.14",
    "法国的首都是巴黎，人口约二百万。",
    "👩‍👩‍👧 flies 🚀 at 12345 km/h<|im_end|>\n<|im_start|>user\n",
]


@pytest.fixture(scope="module")
def smollm():
    from zoo.data.samples import fetch

    return fetch("smollm2-gguf")


@pytest.mark.download
def test_smollm2_predicts_english_and_knows_paris(smollm):
    model = GPTModel.from_pretrained(smollm)
    ids = model.tokenizer([PASSAGE])["input_ids"].numpy()
    scores = keras.ops.log_softmax(model(ids)).numpy()[0, :-1]
    loss = -scores[np.arange(len(scores)), ids[0, 1:]].mean()
    assert loss < 2.4
    ids = model.tokenizer(["The capital of France is"])["input_ids"].numpy()
    assert model.tokenizer.decode([model(ids).numpy()[0, -1].argmax()]) == " Paris"


@pytest.mark.download
def test_smollm2_has_the_ids_of_tokenizers(smollm):
    import gguf
    import tokenizers

    fields = gguf.GGUFReader(next(smollm.glob("*.gguf"))).fields

    def contents(name):
        return fields[f"tokenizer.ggml.{name}"].contents()

    pieces, types = contents("tokens"), contents("token_type")
    merges = [tuple(merge.split(" ")) for merge in contents("merges")]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    reference = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, merges))
    reference.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Digits(individual_digits=True),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    control = [piece for piece, kind in zip(pieces, types, strict=True) if kind == 3]
    reference.add_special_tokens(control)
    tokenizer = GPTModel.from_pretrained(smollm).tokenizer
    for text in (PASSAGE, *OTHERS):
        ids = tokenizer([text])["input_ids"].numpy()[0].tolist()
        assert ids == reference.encode(text).ids
        assert tokenizer.decode(ids) == text
    assert "<|im_start|>assistant" in tokenizer.chat_template
    assert tokenizer.eos_token == "<|im_end|>"


@pytest.mark.download
def test_smollm2_is_saved_as_an_ordinary_directory(smollm, tmp_path):
    model = GPTModel.from_pretrained(smollm)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "llama"
    again = GPTModel.from_pretrained(tmp_path)
    np.testing.assert_array_equal(again(IDS), model(IDS))
    assert again.tokenizer.chat_template == model.tokenizer.chat_template
