"""How much memory a search takes, trial after trial: it is not to grow.

    python -m tools.benchmark_tuning --trials 30

Each trial has a model, a compiled step and datasets of its own; what they leave
behind is measured as the resident memory after each of them. The model is tiny, so that
what leaks per trial is not hidden by the noise of large weights.
"""

import argparse
import gc
import json
import os
import tempfile
from pathlib import Path

import zoo  # noqa: F401  first, because it settles what Keras and TensorFlow read
from zoo.config import TransformerConfig
from zoo.tasks import ExampleSet, TextClassifier
from zoo.tokenizers import Tokenizer
from zoo.tuning.hypermodel import TaskHyperModel
from zoo.tuning.search import search_space
from zoo.tuning.space import Space

WORDS = "the a film plot was is good great fine bad dull poor and very".split()
WARM = 5  # trials after which everything has been loaded and traced once


def resident():
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def make_model(directory):
    """Saves a tiny encoder."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = Tokenizer.from_files({"vocab.txt": "\n".join(tokens).encode()})
    config = TransformerConfig(
        model_type="bert",
        vocab_size=len(tokens),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=32,
        type_vocab_size=2,
        norm_place="post",
        embedding_norm=True,
        pooler=True,
        pad_token_id=0,
        id2label=("bad", "good"),
    )
    TextClassifier(config, tokenizer=tokenizer).save_pretrained(directory)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--tuner", default="random")
    flags = parser.parse_args(arguments)
    texts = ["the film was good", "a dull plot", "very great", "poor and bad"] * 8
    examples = ExampleSet(texts, ["good", "bad", "good", "bad"] * 8)
    sizes = []

    def note(result):
        gc.collect()
        sizes.append(resident())
        print(f"trial {result.number:3}: {sizes[-1] / 2**20:8.1f} MiB", flush=True)

    with tempfile.TemporaryDirectory() as place:
        model = Path(place, "model")
        make_model(model)
        hypermodel = TaskHyperModel(
            TextClassifier,
            model,
            Space(),
            examples,
            options={"labels": ["bad", "good"]},
        )
        search_space(
            hypermodel,
            examples,
            Path(place, "search"),
            tuner=flags.tuner,
            trials=flags.trials,
            logs=Path(place, "logs"),  # as `zoo tune` has them
            on_end=note,
        )
    behind = sizes[min(WARM, len(sizes)) - 1 :]
    first, most = behind[0], max(behind)
    found = {
        "trials": len(sizes),
        "mib_after_trial_5": round(first / 2**20, 1),
        "mib_at_most_after_it": round(most / 2**20, 1),
        "mib_at_the_end": round(sizes[-1] / 2**20, 1),
        "growth": round(most / first - 1, 4),
    }
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    main()
