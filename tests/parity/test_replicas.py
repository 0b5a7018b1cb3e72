"""Two replicas learn what one does, and what is bad on one is bad for both."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    command = [sys.executable, "-m", "tests.parity.replicas"]
    logs = str(tmp_path_factory.mktemp("logs"))
    done = subprocess.run([*command, logs], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("how", ["plain", "in parts"])
def test_weights_loss_tokens_and_norms_are_those_of_one_replica(found, how):
    assert found[how]["difference"] < 1e-6
    several, one = found[how]["readings"]
    assert several == pytest.approx(one, rel=1e-5)


def test_what_is_not_finite_on_one_replica_stops_all(found):
    stopped = found["stop"]
    assert stopped["said"].startswith("step 3: the loss and the gradient of")
    assert not stopped["changed"] and stopped["steps"] == 2


def test_a_bad_step_is_skipped_on_all_replicas(found):
    skipped = found["skip"]
    assert skipped["skipped"] == 1 and skipped["steps"] == 3
    assert skipped["finite"] and skipped["changed"]


def test_an_overflow_on_the_second_replica_lowers_the_scale_of_the_loss(found):
    half = found["float16"]
    assert half["finite"] and half["steps"] == 3
    assert half["scale_after"] == half["scale"] / 2


def test_xla_is_refused_with_the_reason(found):
    assert "distribution strategy on CPUs" in found["XLA"]
