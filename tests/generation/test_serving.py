"""Generation in a SavedModel: the texts of `model.generate`, where nothing is ours."""

import numpy as np
import pytest
import tensorflow as tf

from tests.generation.tiny import SHORT, TEXTS, with_texts
from zoo.errors import ConfigError
from zoo.export import run_in_clean_process

pytestmark = pytest.mark.usefixtures("forked_processes")


@pytest.fixture(scope="module")
def models():
    """Models with tokenizers, run as graphs."""
    found = {kind: with_texts(kind) for kind in ("learned", "window", "t5")}
    for model in found.values():
        model._generator.jit_compile = False
    return found


def server(where, signature="serving_default"):
    """A signature, loaded into this process."""
    serve = tf.saved_model.load(where).signatures[signature]

    def served(**inputs):
        inputs = {name: tf.constant(value) for name, value in inputs.items()}
        texts = serve(**inputs)["text"].numpy()
        return np.vectorize(bytes.decode, otypes=[object])(texts).tolist()

    return served


def served(where, **inputs):
    """What the signature of all servers gives in this process."""
    return server(where)(**inputs)


@pytest.mark.parametrize("kind", ["learned", "t5"])
def test_greedy_search_runs_in_a_process_without_zoo(models, kind, tmp_path):
    model = models[kind]
    where = model.export_saved_model(tmp_path / "x", max_new_tokens=12)
    found = run_in_clean_process(where, {"text": TEXTS})
    assert found == {"text": model.generate(TEXTS, max_new_tokens=12)}


SERVED = {
    "beam": {"num_beams": 3, "length_penalty": 0.5, "num_return_sequences": 2},
    "sample": {"do_sample": True, "top_p": 0.9, "temperature": 0.8},
    "beam_sample": {"num_beams": 2, "do_sample": True},
}


@pytest.mark.parity  # a process for each; the same signatures are called in this one
@pytest.mark.parametrize("strategy", SERVED)
@pytest.mark.parametrize("kind", ["learned", "t5"])
def test_other_strategies_run_in_a_process_without_zoo(
    models, kind, strategy, tmp_path
):
    model, options = models[kind], {"max_new_tokens": 6, **SERVED[strategy]}
    where = model.export_saved_model(tmp_path / "x", strategy=strategy, **options)
    if "do_sample" not in options:
        found = run_in_clean_process(where, {"text": TEXTS})
        assert found == {"text": model.generate(TEXTS, **options)}
        return
    seeds = [3, 8, 3, -1]
    inputs = {"text": TEXTS, "seed": seeds}
    found = run_in_clean_process(where, inputs, signature="seeded")["text"]
    for text, seed, answer in zip(TEXTS, seeds, found, strict=True):
        assert answer == model.generate(text, seed=seed, **options)


def test_windows_processors_and_several_ends_are_served(models, tmp_path):
    model = models["window"]
    options = {
        "max_length": 14,
        "repetition_penalty": 1.3,
        "no_repeat_ngram_size": 2,
        "min_new_tokens": 2,
        "bad_words_ids": [[5], [9, 30]],
        "eos_token_id": [20, 40, 60],
        "presence_penalty": 0.5,
    }
    where = model.export_saved_model(tmp_path / "x", **options)
    texts = [*TEXTS, "", "x" * 14]
    expected, served = model.generate(texts, **options), server(where)
    assert served(text=texts) == expected
    assert expected[-1] == ""
    for text, answer in zip(texts, expected, strict=True):
        assert served(text=[text]) == [answer]
    assert served(text=tf.zeros([0], tf.string)) == []


@pytest.mark.parametrize(
    "kind", ["t5", pytest.param("learned", marks=pytest.mark.parity)]
)
def test_a_seed_gives_what_generate_draws_for_the_prompt_alone(models, kind, tmp_path):
    options = {"do_sample": True, "top_k": 20, "top_p": 0.9, "max_new_tokens": 8}
    model = models[kind]
    where = model.export_saved_model(tmp_path / "x", num_return_sequences=2, **options)
    seeds = [3, 2**40, 3, -1]
    found = server(where, "seeded")(text=SHORT, seed=np.array(seeds))
    for text, seed, answers in zip(SHORT, seeds, found, strict=True):
        assert answers == model.generate(
            text, seed=seed, num_return_sequences=2, **options
        )
    unseeded = server(where)
    first, second = (unseeded(text=SHORT) for _ in range(2))
    assert first != second
    assert np.shape(first) == (4, 2)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (
            "window",
            {
                "num_beams": 3,
                "num_return_sequences": 2,
                "early_stopping": True,
                "stop_strings": ["a", "|"],
            },
        ),
        ("t5", {"num_beams": 2, "length_penalty": 0.5, "eos_token_id": [5, 9]}),
        ("learned", {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.7}),
    ],
)
def test_beam_search_is_served(models, kind, options, tmp_path):
    where = models[kind].export_saved_model(tmp_path / "x", max_new_tokens=8, **options)
    expected = models[kind].generate(TEXTS, max_new_tokens=8, **options)
    assert served(where, text=TEXTS) == expected


def test_beam_sampling_is_served(models, tmp_path):
    model, options = models["learned"], {"do_sample": True, "num_beams": 2}
    where = model.export_saved_model(tmp_path / "x", max_new_tokens=6, **options)
    found = server(where, "seeded")(text=SHORT[:2], seed=np.array([3, 8]))
    for text, seed, answer in zip(SHORT, (3, 8), found, strict=False):
        assert answer == model.generate(text, seed=seed, max_new_tokens=6, **options)


def test_a_seed_among_the_options_is_that_of_every_call(models, tmp_path):
    options = {"do_sample": True, "max_new_tokens": 8, "seed": 7}
    where = models["learned"].export_saved_model(tmp_path / "x", **options)
    expected = [models["learned"].generate(text, **options) for text in SHORT]
    assert served(where, text=SHORT) == expected


def test_a_prompt_beyond_the_positions_is_told_so(tmp_path):
    model = with_texts("learned", max_position_embeddings=8)
    model._generator.jit_compile = False
    where = model.export_saved_model(tmp_path / "x", max_new_tokens=5)
    assert served(where, text=["abcdefg"]) == model.generate(
        ["abcdefg"], max_new_tokens=5
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"more tokens than"):
        served(where, text=["abcdefghi"])


def test_an_empty_prompt_without_a_begin_token_is_told_so(tmp_path):
    model = with_texts("learned", bos_token_id=None)
    where = model.export_saved_model(tmp_path / "x", max_new_tokens=2)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"a prompt is empty"):
        served(where, text=["a", ""])


def test_what_needs_python_is_refused(models, tmp_path):
    options = {"prefix_allowed_tokens_fn": lambda number, ids: [3]}
    with pytest.raises(ConfigError, match=r"needs Python between the steps"):
        models["learned"].export_saved_model(tmp_path / "x", **options)
    assert not (tmp_path / "x").exists()
