"""Beam search finds what transformers and the Model Garden find."""

import numpy as np
import pytest
import tensorflow as tf

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

import zoo  # noqa: E402
from tests.generation.tables import TableModel, after, prompts  # noqa: E402
from tests.generation.test_beams import search  # noqa: E402
from tests.parity.cases import GPT2, LLAMA, T5  # noqa: E402
from tests.parity.reference import reference_model  # noqa: E402
from zoo.generation.config import GenerationConfig  # noqa: E402

MODELS = {
    "gpt2": {**GPT2, "n_positions": 32},
    "llama": LLAMA,  # with grouped heads
    "mistral": {**LLAMA, "sliding_window": 5},
    "t5": T5,
}
NEW, BEAMS = 8, 3


PROCESSORS = {
    "penalties": {
        "repetition_penalty": 1.3,
        "no_repeat_ngram_size": 2,
        "min_new_tokens": 3,
        "renormalize_logits": True,
    },
    "words": {
        "bad_words_ids": [[5], [9, 30], [11, 11], [40, 2, 7]],
        "suppress_tokens": [8, 31],
        "begin_suppress_tokens": list(range(10, 40)),
        "forced_bos_token_id": 7,
        "forced_eos_token_id": 2,
        "min_length": 6,
    },
    "allowed": {
        "prefix_allowed_tokens_fn": lambda number, ids: [
            (int(ids[-1]) * 7 + i) % 60 + 3 for i in range(9)
        ]
    },
}


@pytest.fixture(scope="module", params=MODELS)
def pair(request, tmp_path_factory):
    """A model of the reference and ours, prompts, and tokens that end some rows."""
    family = request.param
    theirs = reference_model(family, MODELS[family])
    directory = tmp_path_factory.mktemp("checkpoint")
    theirs.save_pretrained(directory)
    kind = zoo.T5Model if family == "t5" else zoo.GPTModel
    ours = kind.from_pretrained(directory)
    ours._generator.jit_compile = False  # the steps that XLA compiles come last
    rows = prompts(np.random.default_rng(0), 50, 67)
    # Tokens that the model likes to write, so that sequences end.
    begun = ours.generate(rows, max_new_tokens=NEW, eos_token_id=None, pad_token_id=0)
    ends = np.bincount(np.concatenate(begun)).argsort()[-4:-1].tolist()
    return theirs, ours, rows, ends


def options_of(ends, **more):
    return {
        "num_beams": BEAMS,
        "num_return_sequences": BEAMS,
        "max_new_tokens": NEW,
        "eos_token_id": ends,
        "pad_token_id": 0,
        **more,
    }


def agree(found, wanted):
    """Sequences equal (ids, score) pairs; gives the lengths that there are."""
    sequences = [each for group in found for each in group]
    for each, (ids, score) in zip(sequences, wanted, strict=True):
        count = len(each.ids)
        assert each.ids == ids[:count]
        assert len(set(ids[count:])) <= 1  # what fills the row
        assert each.score == pytest.approx(score, rel=1e-5, abs=1e-4)
    return {len(each.ids) for each in sequences}


def test_fifty_prompts_find_the_same(pair):
    theirs, ours, rows, ends = pair
    lengths = set()
    for early in (True, "never", False):
        for penalty in (-1.0, 0.0, 1.0, 2.0):
            ours._generator.jit_compile = early is False and penalty == 1.0
            chosen = options_of(ends, early_stopping=early, length_penalty=penalty)
            found = ours.generate(rows, **chosen, output_scores=True)
            lengths |= agree(found, generated(theirs, rows, chosen))
    ours._generator.jit_compile = False
    assert len(lengths) > NEW // 2


@pytest.mark.parametrize("name", PROCESSORS)
def test_fifty_prompts_find_the_same_with_processors(pair, name):
    """There, processors take padding for tokens: rows of one length at a time."""
    theirs, ours, rows, ends = pair
    chosen = options_of(ends, **PROCESSORS[name])
    found = ours.generate(rows, **chosen, output_scores=True)
    groups = {}
    for i, row in enumerate(rows):
        length = 0 if theirs.config.is_encoder_decoder else len(row)
        groups.setdefault(length, []).append(i)
    for members in groups.values():
        wanted = generated(theirs, [rows[i] for i in members], chosen)
        agree([found[i] for i in members], wanted)


def generated(model, rows, options):
    """Ids and score of each sequence of each prompt."""
    longest = max(map(len, rows))
    encodes = model.config.is_encoder_decoder

    def padded(row):
        padding = [0] * (longest - len(row))
        return row + padding if encodes else padding + row

    out = model.generate(
        torch.tensor([padded(row) for row in rows]),
        attention_mask=torch.tensor([padded([1] * len(row)) for row in rows]),
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
        **options,
    )
    written = out.sequences[:, 1 if encodes else longest :].tolist()
    return list(zip(written, out.sequences_scores.tolist(), strict=True))


def test_the_model_gardens_search_finds_the_same():
    # It lets hypotheses end among all 2 k candidates, where transformers looks at the
    # best k: where that makes a difference, a plain search tells the two apart.
    from official.nlp.modeling.ops import beam_search

    size, end, limit = 9, 2, 6
    model = TableModel(size, seed=1, favoured={end: 1.0})
    rows = [[i % size] for i in range(size)]
    ended = -1e4 * np.ones(size, np.float32)  # both end at the limit only by the token
    ended[end] = 0.0

    def logits(ids, i, cache):
        numbers = after(tf.cast(cache["numbers"], tf.int32), ids[:, -1:])
        found = tf.gather(model.table, numbers[:, 0])
        found = tf.where(i == limit - 1, found + ended, found)
        return found, {"numbers": tf.cast(numbers, tf.float32)}

    sequences, scores = beam_search.sequence_beam_search(
        logits,
        initial_ids=tf.constant([row[0] for row in rows]),
        initial_cache={"numbers": tf.zeros([len(rows), 1])},
        vocab_size=size,
        beam_size=BEAMS,
        alpha=0.0,
        max_decode_length=limit,
        eos_id=end,
    )
    config = GenerationConfig(
        num_beams=BEAMS,
        num_return_sequences=BEAMS,
        max_new_tokens=limit,
        length_penalty=0.0,
        early_stopping="never",
        eos_token_id=end,
        processors=lambda logits, state: tf.where(
            state.step == limit - 1, tf.nn.log_softmax(logits + ended), logits
        ),
    )
    same = 0
    for row, group, theirs, theirs_scores in zip(
        rows, model.generator()(rows, config), sequences, scores, strict=True
    ):

        def log_probs(ids, row=row):
            found = model.log_probs([*row, *ids])
            if len(ids) == limit - 1:
                found = tf.nn.log_softmax(found + ended).numpy()
            return found

        kind = {"beams": BEAMS, "ends": (end,), "limit": limit, "penalty": 0.0}
        some, every = (
            search(log_probs, **kind, early="never", first=first)
            for first in (BEAMS, 2 * BEAMS)
        )
        found = [cut(ids, end) for ids in theirs.numpy()[:, 1:].tolist()]
        assert found == [ids for _, ids in every]
        assert [each.ids for each in group] == [ids for _, ids in some]
        if some == every:
            same += 1
            assert [each.ids for each in group] == found
            np.testing.assert_allclose(
                [each.score for each in group], theirs_scores, rtol=1e-5
            )
    assert same > len(rows) / 2


def cut(ids, end):
    return ids[: ids.index(end) + 1]
