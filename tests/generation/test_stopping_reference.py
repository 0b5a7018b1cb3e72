"""Stop strings end rows and beams where transformers ends them."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

import zoo  # noqa: E402
from tests.generation import tiny  # noqa: E402
from tests.parity.cases import GPT2  # noqa: E402
from tests.parity.reference import reference_model  # noqa: E402

NEW = 12


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_beams": 3, "num_return_sequences": 3},
        {"num_beams": 3, "early_stopping": True, "length_penalty": 0.0},
        {"num_beams": 2, "early_stopping": "never", "length_penalty": 0.0},
    ],
    ids=["greedy", "n best", "early", "never"],
)
def test_rows_end_where_the_reference_ends_them(options, tmp_path):
    files = tiny.byte_level().get_files()
    (tmp_path / "tokenizer.json").write_bytes(files["tokenizer.json"])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json")
    )
    settings = {**GPT2, "n_positions": 32, "vocab_size": len(tokenizer)}
    theirs = reference_model("gpt2", settings)
    theirs.save_pretrained(tmp_path)
    ours = zoo.GPTModel.from_pretrained(tmp_path)
    ours._generator.jit_compile = False
    options = {
        "max_new_tokens": NEW,
        "eos_token_id": None,
        "pad_token_id": 0,
        "suppress_tokens": [0, 1, 2, *range(97, len(tokenizer))],  # all but ASCII
        **options,
    }
    # There a stop string may begin in the prompt: none has a new line.
    rng = np.random.default_rng(0)
    newline = tokenizer.convert_tokens_to_ids("Ċ")
    rows = [[*rng.integers(3, 250, n).tolist(), newline] for n in range(1, 9)]
    free = ours.generate(rows, **options, return_dict_in_generate=True)
    written = [group[0].ids if isinstance(group, list) else group.ids for group in free]
    common = int(np.bincount(np.concatenate(written)).argmax())
    stops = [tokenizer.decode(ids[2:4]) for ids in written[:4]]
    stops.append(tokenizer.decode([common]))
    found = ours.generate(
        rows, **options, stop_strings=stops, return_dict_in_generate=True
    )
    stopped = 0
    for row, group in zip(rows, found, strict=True):
        out = theirs.generate(
            torch.tensor([row]),
            attention_mask=torch.ones([1, len(row)], dtype=torch.long),
            do_sample=False,
            tokenizer=tokenizer,
            stop_strings=stops,
            **options,
        )
        group = group if isinstance(group, list) else [group]
        for each, wanted in zip(group, out[:, len(row) :].tolist(), strict=True):
            count = len(each.ids)
            assert each.ids == wanted[:count]
            assert set(wanted[count:]) <= {0, -1}  # what fills the row
            stopped += each.finish_reason == "stop_string"
    assert stopped > 0
