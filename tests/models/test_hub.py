"""Hub ids: the local cache is read offline, at the revision that was asked for."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.models.conftest import make

CALL = """
import json, sys
import zoo

answers = []
for source, revision in json.loads(sys.argv[1]):
    try:
        model = zoo.GPTModel.from_pretrained(source, revision=revision)
        answers.append(float(model.weights_by_path()["decoder.final_norm.weight"][0]))
    except zoo.errors.CheckpointError as error:
        answers.append(str(error))
print(json.dumps(answers))
"""
# Commits of the repository "owner/llama": "main" is the second.
COMMITS = {"1" * 40: 2.0, "2" * 40: 3.0}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The cache of huggingface_hub with two commits, as the client lays it out."""
    home = tmp_path_factory.mktemp("hub")
    repository = home / "models--owner--llama"
    model = make("llama", model_type="llama")
    for commit, value in COMMITS.items():
        norm = model.weights_by_path()["decoder.final_norm.weight"]
        norm.assign([value] * norm.shape[0])
        model.save_pretrained(home / "saved")
        snapshot = repository / "snapshots" / commit
        snapshot.mkdir(parents=True)
        for path in (home / "saved").iterdir():
            blob = repository / "blobs" / f"{commit[0]}{path.name}"
            blob.parent.mkdir(exist_ok=True)
            shutil.move(path, blob)
            (snapshot / path.name).symlink_to(os.path.relpath(blob, snapshot))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("2" * 40)
    (repository / "refs" / "old").write_text("1" * 40)
    return home


ASKED = [
    ("owner/llama", None),
    ("owner/llama", "old"),
    ("owner/llama", "1" * 40),
    ("owner/llama", "no-such-branch"),
    ("owner/other", None),
]


@pytest.fixture(scope="module")
def answers(cache):
    """What a process without a network is given for each of `ASKED`."""
    done = subprocess.run(
        [sys.executable, "-c", CALL, json.dumps(ASKED)],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_main_branch_a_branch_and_a_commit_are_read_from_the_cache(answers):
    assert answers[:3] == [3.0, 2.0, 2.0]


def test_what_the_cache_does_not_have_is_named(answers):
    for (source, revision), said in list(zip(ASKED, answers, strict=True))[3:]:
        assert source in said and "HF_HUB_OFFLINE=1" in said
        assert revision is None or revision in said
