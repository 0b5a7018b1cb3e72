"""Makes tests/fixtures/golden: tiny checkpoints, and what `transformers` computes.

    python -m tools.make_golden [NAME]...

Needs the extra `parity`. Each fixture is a Hugging Face directory with seeded random
weights and `expected.npz`: inputs, outputs and hidden states. With them the test suite
holds every family to its reference where neither torch nor transformers is installed.
"""

import pathlib
import shutil
import sys

import numpy as np

from tests.parity import reference
from tests.parity.cases import ANSWERERS, BERT, CASES, HEADS, LLAMA, ROTARY, T5

DIRECTORY = pathlib.Path(__file__).parents[1] / "tests" / "fixtures" / "golden"
MOST_BYTES = 300_000

# Name -> (family, architecture or None for the family's usual one, configuration).
FIXTURES = {
    **{f: (f, None, cases[next(iter(cases))]) for f, cases in CASES.items()},
    "bert-classifier": HEADS["classifier"],
    "bert-masked-lm": HEADS["masked LM"],
    "nomic_bert-classifier": HEADS["nomic_bert classifier"],
    "nomic_bert-masked-lm": HEADS["nomic_bert masked LM"],
    "bert-one-type": ("bert", None, {**BERT, "type_vocab_size": 1}),
    "llama-yarn": ("llama", None, {**LLAMA, "head_dim": 10, **ROTARY["yarn"]}),
    "llama-3.1": ("llama", None, {**LLAMA, "mlp_bias": True, **ROTARY["llama3"]}),
    "t5-1.1": ("t5", None, CASES["t5"]["1.1, untied"]),
    "t5-small-buckets": (
        "t5",
        None,
        {
            **T5,
            "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 6,
        },
    ),
    "bert-token-classifier": HEADS["token classifier"],
    "gpt2-classifier": HEADS["gpt2 classifier"],
    "llama-token-classifier": HEADS["llama token classifier"],
    "t5-token-classifier": HEADS["t5 token classifier"],
    "t5-classifier": HEADS["t5 classifier"],
    "llama-question-answerer": ANSWERERS["llama question answerer"],
}


def make(directory, family, architecture, settings, seed):
    """Writes one fixture."""
    model = reference.reference_model(
        family, settings, architecture=architecture, seed=seed
    )
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)
    inputs = reference.batch(family, settings, seed=seed, architecture=architecture)
    output, states = reference.run_forward(model, inputs)
    arrays = {f"input/{name}": value for name, value in inputs.items()}
    arrays["output"] = output
    for name, every in states.items():
        for index, state in enumerate(every):
            arrays[f"state/{name}/{index}"] = state
    np.savez_compressed(directory / "expected.npz", **arrays)
    size = sum(path.stat().st_size for path in directory.iterdir())
    print(f"{directory.name}: {size:,} bytes")
    assert size < MOST_BYTES, "fixtures are committed: make the configuration smaller"


def main(wanted):
    for seed, (name, row) in enumerate(FIXTURES.items()):
        if not wanted or name in wanted:
            make(DIRECTORY / name, *row, seed)


if __name__ == "__main__":
    main(sys.argv[1:])
