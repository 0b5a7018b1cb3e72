"""TensorBoard is opened in headless Chromium, and shows what `fit` has written."""

import json
import re
import shutil
import subprocess
import sys
import urllib.request

import keras
import pytest

from tests.models.conftest import make, random_ids
from zoo.training.tensorboard import TensorBoard

pytestmark = pytest.mark.browser
NAMES = ("chromium", "chromium-browser", "google-chrome")
SCALARS = (
    "epoch_loss",
    "epoch_perplexity",
    "epoch_learning_rate",
    "epoch_gradient_norm",
    "epoch_tokens_per_second",
    "epoch_model_flops_utilisation",
)


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    directory = tmp_path_factory.mktemp("logs")
    model = make("gpt2", num_hidden_layers=1)
    model.compile(keras.optimizers.SGD(0.1))
    callback = TensorBoard(
        directory,
        samples=[[1, 2, 3]],
        sample_options={"max_new_tokens": 2},
        embeddings=20,
    )
    ids = random_ids(8, 7)
    options = {"epochs": 3, "batch_size": 2, "verbose": 0, "callbacks": [callback]}
    model.fit(ids, validation_data=(ids[:2],), **options)
    return directory


@pytest.fixture(scope="module")
def address(logs):
    """Where TensorBoard serves them."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs)]
    options = ["--host", "127.0.0.1", "--port", "0", "--load_fast", "false"]
    server = subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        said = []
        for line in server.stderr:
            said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
                yield found[0]
                break
        else:
            pytest.fail(f"TensorBoard did not start: {''.join(said)}")
    finally:
        server.terminate()
        server.communicate(timeout=30)


def page(address, directory):
    """The document as Chromium has built it."""
    chromium = next(filter(None, map(shutil.which, NAMES)), None)
    if chromium is None:
        pytest.fail("there is no Chromium. On Debian and Ubuntu: apt install chromium")
    command = [
        chromium,
        "--headless=new",
        "--no-sandbox",  # which containers do not allow
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={directory}",
        "--virtual-time-budget=30000",
        "--window-size=1400,3000",
        "--dump-dom",
        address,
    ]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_the_browser_shows_every_scalar_and_both_runs(address, tmp_path):
    document = page(f"{address}#timeseries", tmp_path)
    for name in SCALARS:
        assert name in document
    assert "train" in document and "validation" in document
    assert "No data" not in document and "No dashboards" not in document


def test_the_projector_finds_vectors_and_names(address):
    # TensorBoard looks for its file every few seconds.
    with urllib.request.urlopen(f"{address}data/plugin/projector/runs") as answer:
        assert json.load(answer) == ["train"]
    query = "run=train&name=tokens"
    at = f"{address}data/plugin/projector"
    with urllib.request.urlopen(f"{at}/tensor?{query}") as answer:
        assert len(answer.read()) == 20 * 16 * 4
    with urllib.request.urlopen(f"{at}/metadata?{query}") as answer:
        assert answer.read().decode().splitlines() == [str(i) for i in range(20)]
