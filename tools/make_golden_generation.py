"""Makes JSON files of tests/generation/golden: what transformers 4.49 writes.

    python -m venv venv
    venv/bin/pip install "transformers==4.49.*" "torch==2.13.*" numpy
    venv/bin/python tools/make_golden_generation.py

Diverse beam search and contrastive search have left transformers: this release is the
last one but for a few to have them in its core. It needs an environment of its own,
which has this file alone of zoo. The models are the tiny ones of tests/fixtures/golden.
"""

import json
import pathlib

import numpy as np
import torch
import transformers

TESTS = pathlib.Path(__file__).parents[1] / "tests"
MODELS = {
    "gpt2": transformers.GPT2LMHeadModel,
    "t5": transformers.T5ForConditionalGeneration,
    "llama": transformers.LlamaForCausalLM,
    "mistral": transformers.MistralForCausalLM,
}
PROMPTS, LONGEST, NEW = 50, 8, 10
DIVERSE_BEAMS = [
    {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5},
    {"num_beams": 3, "num_beam_groups": 3, "diversity_penalty": 2.0},
    {
        "num_beams": 4,
        "num_beam_groups": 2,
        "diversity_penalty": 1.0,
        "early_stopping": True,
        "length_penalty": 0.0,
    },
    {
        "num_beams": 6,
        "num_beam_groups": 3,
        "diversity_penalty": 1.0,
        "early_stopping": "never",
        "length_penalty": 2.0,
    },
    {
        "num_beams": 4,
        "num_beam_groups": 2,
        "diversity_penalty": 0.5,
        "length_penalty": -1.0,
        "repetition_penalty": 1.3,
        "no_repeat_ngram_size": 2,
    },
]
CONTRASTIVE = [
    {"penalty_alpha": 0.6, "top_k": 4},
    {"penalty_alpha": 0.9, "top_k": 8},
    {"penalty_alpha": 0.2, "top_k": 2, "repetition_penalty": 1.4},
    {
        "penalty_alpha": 0.4,
        "top_k": 5,
        "min_new_tokens": 4,
        "no_repeat_ngram_size": 2,
        "bad_words_ids": [[20], [11, 30]],
    },
]


def main():
    write("diverse_beam", DIVERSE_BEAMS)
    write("contrastive", CONTRASTIVE)


def write(name, cases):
    found = {model: made(model, cases) for model in MODELS}
    path = TESTS / "generation" / "golden" / f"{name}.json"
    path.write_text(json.dumps(found, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size:,} bytes")


def made(name, wanted):
    model = MODELS[name].from_pretrained(TESTS / "fixtures" / "golden" / name).eval()
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, LONGEST + 1, PROMPTS)
    rows = [rng.integers(3, model.config.vocab_size, n).tolist() for n in lengths]
    beams = "num_beams" in wanted[0]
    end = common(model, rows, {"num_beams": 2} if beams else wanted[0])
    cases = []
    for options in wanted:
        if beams:
            options = {**options, "num_return_sequences": options["num_beams"]}
        ends = {"eos_token_id": end, "pad_token_id": 1}
        options = {**options, "max_new_tokens": NEW, **ends}
        groups = [written(model, row, options) for row in rows]
        cases.append({"options": options, "groups": groups})
    return {"prompts": rows, "cases": cases}


def common(model, rows, options):
    """A token that the model likes to write, so that sequences end."""
    options = {"max_new_tokens": NEW, **options}
    ids = [written(model, row, options)[0][1] for row in rows]
    return int(np.bincount([token for row in ids for token in row]).argmax())


def written(model, row, options):
    """(score, ids) of each sequence, without what stands behind its end.

    The score is that of a beam, else the sum of the log-probabilities.
    """
    options = {"eos_token_id": None, "pad_token_id": 1, "do_sample": False, **options}
    ids = torch.tensor([row])
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        output_scores=True,
        return_dict_in_generate=True,
        **options,
    )
    start = 1 if model.config.is_encoder_decoder else len(row)
    scores = out.get("sequences_scores")
    if scores is None:
        scores = model.compute_transition_scores(
            out.sequences, out.scores, normalize_logits=True
        ).sum(1)
    group = []
    for score, sequence in zip(
        scores.tolist(), out.sequences[:, start:].tolist(), strict=True
    ):
        end = options["eos_token_id"]
        if end in sequence:
            sequence = sequence[: sequence.index(end) + 1]
        group.append([round(score, 6), sequence])
    return group


if __name__ == "__main__":
    main()
