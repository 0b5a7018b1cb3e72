"""`model.generate` writes the tokens that transformers writes, with every processor.

50 prompts of mixed length are one batch. Where transformers takes padding for tokens,
its rows are read in groups of equal length instead.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

import zoo  # noqa: E402
from tests.parity.cases import GPT2, LLAMA, T5  # noqa: E402
from tests.parity.reference import reference_model  # noqa: E402
from zoo.families import FAMILIES  # noqa: E402

COUNT, NEW = 50, 10
CASES = {
    "gpt2": ("gpt2", {**GPT2, "n_positions": 40}),
    "llama, grouped heads": ("llama", LLAMA),
    "mistral, sliding window": ("mistral", {**LLAMA, "sliding_window": 4}),
    "t5": ("t5", T5),
}
# What each option set is called by.
OPTIONS = {
    "greedy": {},
    "repetition penalty": {"repetition_penalty": 1.4},
    "no repeated bigrams": {"no_repeat_ngram_size": 2},
    "no repeated tokens": {"no_repeat_ngram_size": 1},
    "least length": {"min_new_tokens": 6, "eos_token_id": [3, 9, 27, 41, 50]},
    "several ends": {"eos_token_id": [3, 9, 27, 41, 50]},
    "least length with the prompt": {
        "min_length": 11,
        "eos_token_id": [3, 9, 27, 41, 50],
    },
    "bad words": {"bad_words_ids": [[5], [9, 30], [11, 11], [40, 2, 7]]},
    "suppressed": {
        "suppress_tokens": [5, 8, 30, 31],
        "begin_suppress_tokens": list(range(10, 40)),
    },
    "forced end": {"forced_eos_token_id": 2},
    "one of two forced ends": {"forced_eos_token_id": [2, 9]},
    "forced begin": {"forced_bos_token_id": 7},
    "several": {
        "repetition_penalty": 1.2,
        "no_repeat_ngram_size": 3,
        "min_new_tokens": 3,
        "suppress_tokens": [4, 6],
        "forced_eos_token_id": 2,
        "eos_token_id": [2, 9],
    },
    "allowed": {
        "prefix_allowed_tokens_fn": lambda number, ids: [
            (int(ids[-1]) * 7 + i) % 60 + 3 for i in range(9)
        ]
    },
}


DECODERS = [
    name
    for name, (family, _) in CASES.items()
    if FAMILIES[family].assembly == "decoder"
]


@pytest.fixture(scope="module", params=CASES)
def pair(request, tmp_path_factory):
    """The reference model, and ours from its checkpoint."""
    family, settings = CASES[request.param]
    theirs = reference_model(family, settings, seed=3)
    with torch.no_grad():  # logits so far apart that rounding decides nothing
        scale_of_logits(theirs)
    theirs.generation_config.eos_token_id = None  # None among options does not say so
    directory = tmp_path_factory.mktemp("checkpoint")
    theirs.save_pretrained(directory)
    classes = {"decoder": zoo.GPTModel, "encoder_decoder": zoo.T5Model}
    ours = classes[FAMILIES[family].assembly].from_pretrained(directory)
    ours._generator.jit_compile = False  # XLA gives the same: test_generate.py
    return theirs, ours


def scale_of_logits(model):
    head = model.get_output_embeddings().weight
    head.mul_(2.0 if head is not model.get_input_embeddings().weight else 1.0)


def rows(seed=0, most=12):
    rng = np.random.default_rng(seed)
    return [rng.integers(3, 67, n).tolist() for n in rng.integers(1, most, COUNT)]


@torch.no_grad()
def reference(model, prompts, *, padded, **options):
    """Tokens and log-probabilities of each, one group of equal lengths after another.

    Args:
        padded: Whether all are one group, padded.
    """
    groups = {}
    for i, row in enumerate(prompts):
        groups.setdefault(0 if padded else len(row), []).append(i)
    seq2seq = model.config.is_encoder_decoder
    found = [None] * len(prompts)
    ends = options["eos_token_id"] or []
    for members in groups.values():
        longest = max(len(prompts[i]) for i in members)
        ids = np.zeros((len(members), longest), np.int64)
        mask = np.zeros_like(ids)
        for line, i in enumerate(members):
            place = slice(longest - len(prompts[i]), None)
            place = slice(0, len(prompts[i])) if seq2seq else place
            ids[line, place], mask[line, place] = prompts[i], 1
        out = model.generate(
            torch.tensor(ids),
            attention_mask=torch.tensor(mask),
            max_new_tokens=NEW,
            do_sample=False,
            pad_token_id=0,
            output_scores=True,
            return_dict_in_generate=True,
            **options,
        )
        tokens = out.sequences[:, 1 if seq2seq else longest :].numpy()
        scores = torch.stack(out.scores, 1).log_softmax(-1).numpy()
        scores = np.take_along_axis(scores, tokens[..., None], -1)[..., 0]
        for line, i in enumerate(members):
            row = tokens[line].tolist()
            stops = [place for place, token in enumerate(row) if token in ends]
            size = stops[0] + 1 if stops else len(row)
            found[i] = row[:size], scores[line, :size].sum()
    return found


# Options under which transformers does not look at padding.
SEES_NO_PADDING = {"greedy", "least length", "several ends", "suppressed"}


@pytest.mark.parametrize("name", OPTIONS)
def test_tokens_and_scores_equal_the_reference(pair, name):
    theirs, ours = pair
    options = {"eos_token_id": None, **OPTIONS[name]}
    prompts = rows()
    padded = name in SEES_NO_PADDING or ours.prompt_name != "input_ids"
    if name == "allowed":  # a prompt's number is that in the group there
        padded = ours.prompt_name != "input_ids"
    expected = reference(theirs, prompts, padded=padded, **options)
    found = ours.generate(prompts, max_new_tokens=NEW, output_logprobs=True, **options)
    assert [one.ids for one in found] == [ids for ids, _ in expected]
    np.testing.assert_allclose(
        [one.score for one in found], [score for _, score in expected], atol=1e-4
    )


@pytest.mark.parametrize("pair", DECODERS, indirect=True)
def test_perplexity_equals_the_reference(pair):
    theirs, ours = pair
    texts = [row for row in rows(1, most=30) if len(row) > 1]
    losses, count = 0.0, 0
    for row in texts:
        scored = 1
        for begin in range(0, len(row), 4):
            end = min(begin + 8, len(row))
            ids = torch.tensor([row[begin:end]])
            targets = ids.clone()
            targets[:, : scored - begin] = -100
            fresh = end - scored
            if fresh > 0:
                with torch.no_grad():
                    losses += theirs(ids, labels=targets).loss.item() * fresh
                count += fresh
            scored = end
            if end == len(row):
                break
    found = zoo.perplexity(ours, texts, stride=4, max_length=8, batch_size=8)
    assert found == pytest.approx(np.exp(losses / count), rel=1e-4)
