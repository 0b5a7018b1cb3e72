"""What all tests share: a quiet TensorFlow, few threads, seeds, and sample material."""

import gc
import importlib.util
import os

# TensorFlow and the hub's client read these when they are imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # one worker per core: threads would only fight
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")

import pytest


def pytest_configure(config):
    """`-m parity` without its references is an error, and not a hundred tests skipped.

    Elsewhere the modules that compare with them skip themselves. And there XLA leaves
    out LLVM's optimisation, which takes half of the time in which it compiles a tiny
    model; `-m parity` compiles as everybody does.
    """
    if config.option.markexpr != "parity":
        # XLA reads this when it compiles for the first time.
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
        return
    for name in ("peft", "torch", "transformers"):
        if importlib.util.find_spec(name) is None:
            raise pytest.UsageError(f"-m parity needs {name}: use make parity.")


def pytest_ignore_collect(collection_path, config):
    """Modules of which nothing is selected are not imported: torch takes seconds."""
    if "not parity" not in config.option.markexpr or collection_path.suffix != ".py":
        return None
    text = collection_path.read_text(encoding="utf-8")
    return True if "\npytestmark = pytest.mark.parity\n" in text else None


def pytest_collection_finish():
    """What was imported is no garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def little_to_collect():
    """What other tests left is no garbage while a module runs.

    A search has Keras collect garbage for each trial, which takes seconds of all that a
    long test run has in memory.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def fork_server(tmp_path_factory):
    """A process that has TensorFlow loaded, and forks for each call."""
    from tests.forked_processes import ForkServer

    server = ForkServer(tmp_path_factory.mktemp("forked"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def forked_processes(fork_server):
    """Has `run_in_clean_process` fork a process, and not load TensorFlow each time."""
    from zoo.export import clean_process

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(clean_process, "_run", fork_server)
        yield


@pytest.fixture
def seed():
    """Seeds Python, NumPy and Keras, and gives the seed."""
    import keras

    keras.utils.set_random_seed(1234)
    return 1234


@pytest.fixture
def sample(request):
    """`zoo.data.samples.fetch`, for tests that are marked `download`."""
    if request.node.get_closest_marker("download") is None:
        pytest.fail("a test that fetches samples needs @pytest.mark.download")
    from zoo.data.samples import fetch

    return fetch
