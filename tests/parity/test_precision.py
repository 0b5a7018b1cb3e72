"""Half precision learns a real text as well as float32: within 1 % after 200 steps."""

from pathlib import Path

import keras
import numpy as np
import pytest

pytestmark = pytest.mark.parity

from zoo.config import TransformerConfig  # noqa: E402
from zoo.models import GPTModel  # noqa: E402

ROWS, LENGTH, STEPS = 16, 32, 200


def bytes_of_the_guides():
    """English prose, cut into rows of bytes: to train on, and held out."""
    guides = sorted(Path(__file__).parents[2].glob("docs/*.md"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in guides).encode()
    ids = np.frombuffer(text, np.uint8).astype(np.int32)
    rows = ids[: len(ids) // LENGTH * LENGTH].reshape(-1, LENGTH)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    held_out = rows[:256]
    return np.resize(rows[256:], (ROWS * STEPS, LENGTH)), held_out


def trained(dtype, rows, **options):
    keras.utils.set_random_seed(7)
    model = GPTModel(
        TransformerConfig(
            vocab_size=256,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=LENGTH,
            # Narrow models learn sooner from larger weights. Where the loss still falls
            # fast, as it does after 200 steps from small ones, runs differ by chance.
            initializer_range=0.1,
        ),
        dtype=dtype,
    )
    model.compile(learning_rate=1e-2, **options)
    model.fit(rows, batch_size=ROWS, shuffle=False, verbose=0)
    taken = int(model.optimizer.iterations)
    assert len(rows) // ROWS - 5 <= taken  # loss scaling may leave some out
    return model


def loss_of(model, rows):
    return model.evaluate(rows, verbose=0, return_dict=True)["loss"]


@pytest.fixture(scope="module")
def text():
    return bytes_of_the_guides()


@pytest.fixture(scope="module")
def expected(text):
    """Held-out loss of float32; untrained it is that of guessing, log 256."""
    rows, held_out = text
    loss = loss_of(trained("float32", rows), held_out)
    assert loss < 0.6 * np.log(256)
    return loss


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_reaches_the_loss_of_float32(dtype, text, expected):
    rows, held_out = text
    model = trained(dtype, rows)
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (dtype == "mixed_float16")
    assert all(w.dtype == "float32" for w in model.trainable_weights)
    found = loss_of(model, held_out)
    print(f"{dtype}: {found:.4f} nats, float32: {expected:.4f}")
    assert found == pytest.approx(expected, rel=0.01)


def test_xla_with_the_chunked_loss_learns_the_same(text):
    rows, held_out = text[0][: ROWS * 20], text[1]
    compiled, plain = (
        trained("float32", rows, jit_compile=choice) for choice in (True, False)
    )
    assert compiled.jit_compile
    expected = loss_of(plain, held_out)
    assert loss_of(compiled, held_out) == pytest.approx(expected, rel=1e-3)
