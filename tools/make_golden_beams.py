"""Makes tests/generation/golden/diverse_beam.json: what transformers 4.49 writes.

    python -m venv venv
    venv/bin/pip install "transformers==4.49.*" "torch==2.13.*" numpy
    venv/bin/python tools/make_golden_beams.py

Diverse beam search has left transformers: this release is the last one but for a few to
have it in its core. It needs an environment of its own, which has this file alone of
zoo. The models are the tiny ones of tests/fixtures/golden.
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
}
PROMPTS, LONGEST, NEW = 25, 8, 10
CASES = [
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


def main():
    found = {name: made(name, kind) for name, kind in MODELS.items()}
    path = TESTS / "generation" / "golden" / "diverse_beam.json"
    path.write_text(json.dumps(found, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size:,} bytes")


def made(name, kind):
    model = kind.from_pretrained(TESTS / "fixtures" / "golden" / name).eval()
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, LONGEST + 1, PROMPTS)
    rows = [rng.integers(3, model.config.vocab_size, n).tolist() for n in lengths]
    end = common(model, rows)
    cases = []
    for options in CASES:
        options = {
            **options,
            "num_return_sequences": options["num_beams"],
            "max_new_tokens": NEW,
            "eos_token_id": end,
            "pad_token_id": 1,
        }
        groups = [written(model, row, options) for row in rows]
        cases.append({"options": options, "groups": groups})
    return {"prompts": rows, "cases": cases}


def common(model, rows):
    """A token that the model likes to write, so that sequences end."""
    ids = [written(model, row, {"max_new_tokens": NEW, "num_beams": 2}) for row in rows]
    return int(np.bincount([token for group in ids for token in group[0][1]]).argmax())


def written(model, row, options):
    """(score, ids) of each sequence, without what stands behind its end."""
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
    group = []
    for score, sequence in zip(
        out.sequences_scores.tolist(), out.sequences[:, start:].tolist(), strict=True
    ):
        end = options["eos_token_id"]
        if end in sequence:
            sequence = sequence[: sequence.index(end) + 1]
        group.append([round(score, 6), sequence])
    return group


if __name__ == "__main__":
    main()
