"""The package as a whole: public names, the cost of `import zoo`, floors, metadata."""

import ast
import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import zoo
from zoo.errors import ZooError

ROOT = Path(zoo.__file__).parents[1]


def run(code, **environment):
    """What a fresh process prints as JSON in its last line."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("KERAS", "TF_"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_import_loads_nothing_but_the_standard_library_and_zoo():
    loaded = run(
        "import json, sys; before = set(sys.modules); import zoo;"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    packages = {name.split(".")[0] for name in loaded}
    foreign = packages - set(sys.stdlib_module_names) - {"zoo"}
    assert not foreign


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_import_takes_less_than_30_mb_and_300_ms():
    cost = run(
        """
import json, os, time
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
memory, seconds = resident(), time.process_time()
import zoo
print(json.dumps([resident() - memory, time.process_time() - seconds]))
"""
    )
    assert cost[0] < 30e6
    assert cost[1] < 0.3  # processor time: another process on the machine adds nothing


def rooms_that_exist():
    return {
        name: room
        for name, room in zoo._ROOMS.items()
        if importlib.util.find_spec(room) is not None
    }


def test_public_names_resolve_without_the_packages_that_few_need():
    names = sorted(rooms_that_exist())
    # TensorFlow itself loads some of these, through the wrappers of Keras.
    loaded = run(
        "import json, sys, tensorflow; before = set(sys.modules); import zoo;"
        f"[getattr(zoo, name) for name in {names!r}];"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    packages = {name.split(".")[0] for name in loaded}
    assert not packages & {
        "gguf",
        "keras_hub",
        "keras_nlp",
        "keras_tuner",
        "matplotlib",
        "sacrebleu",
        "sklearn",
        "torch",
        "transformers",
    }


def test_every_public_name_is_listed_typed_and_has_a_room():
    tree = ast.parse(Path(zoo.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == zoo._ROOMS
    assert sorted({*zoo._ROOMS, "errors"}) == zoo.__all__
    assert {*zoo.__all__, "__version__"} <= set(dir(zoo))


def test_unknown_name_suggests_the_closest():
    with pytest.raises(AttributeError, match="Did you mean 'BertModel'"):
        _ = zoo.BertModl
    with pytest.raises(AttributeError, match="no attribute 'xyzzy'"):
        _ = zoo.xyzzy


def test_other_keras_backend_is_refused_with_the_cure():
    message = run(
        """
import json
try:
    import zoo
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
""",
        KERAS_BACKEND="jax",
    )
    assert message[0] == ZooError.__name__
    assert "'jax'" in message[1]
    assert "KERAS_BACKEND=tensorflow" in message[1]


def test_keras_imported_first_is_fine_on_tensorflow():
    assert run("import json, keras, zoo; print(json.dumps(keras.backend.backend()))")


def test_version_is_the_one_in_setup_cfg():
    import configparser

    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    assert zoo.__version__ == parser["metadata"]["version"]


def test_the_top_level_of_the_repository_is_exactly_this():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode or not listed.stdout:
        pytest.skip("not a git checkout")
    assert {path.split("/")[0] for path in listed.stdout.splitlines()} == {
        *("setup.cfg", "pyproject.toml", "Makefile", "LICENSE"),
        *("README.md", "README.zh.md"),
        *("zoo", "applications", "tools", "tests", "docs"),
        *(".ci", ".pre-commit-config.yaml", ".gitignore"),
    }


def test_pyproject_holds_the_build_system_and_tools_alone():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert pyproject.keys() == {"build-system", "tool"}


@pytest.mark.parametrize("house", ["zoo", "zoo.tasks"])
def test_every_room_has_a_floor(house):
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {
        contract.get("containers", ["zoo"])[0]: contract["layers"]
        for contract in pyproject["tool"]["importlinter"]["contracts"]
    }
    placed = {
        room.strip(" ()").removeprefix("zoo.")
        for floor in contracts[house]
        for room in floor.split("|")
    }
    found = {
        path.stem
        for path in (ROOT / house.replace(".", "/")).iterdir()
        if path.name != "__init__.py"
        and (path.suffix == ".py" or any(path.glob("*.py")))
    }
    assert found <= placed
    assert house == "zoo" or placed == found  # some of the house may not exist yet


def test_top_level_modules_share_one_error_family():
    family = [v for v in vars(zoo.errors).values() if isinstance(v, type)]
    assert len(family) > 5
    assert all(issubclass(error, ZooError) for error in family)
