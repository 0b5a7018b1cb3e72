"""The `zoo` command: help, answers, conversations, and errors of one line."""

import configparser
import io
import json
import logging
import os
import pty
import select
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import keras
import pytest
from rich.console import Console
from typer.testing import CliRunner

import zoo
from tests.generation.talking import CHATML, END, talking
from zoo import cli
from zoo.cli import conversation, terminal, writing
from zoo.errors import InputError
from zoo.generation import Sequence
from zoo.models import GPTModel

ROOT = Path(zoo.__file__).parents[1]
PROMPT = "the cat"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A saved model that converses."""
    path = tmp_path_factory.mktemp("cli") / "talking"
    talking().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def loaded():
    """Models that commands have loaded: what is compiled for one serves the next."""
    return {}


@pytest.fixture
def run(monkeypatch, loaded):
    """Runs a command in this process; programs are not compiled, which takes longer."""
    monkeypatch.setattr("zoo.generation.generator.jit_compile", lambda *_, **__: False)
    load = writing._load

    def load_once(source, *, console, **options):
        key = (str(source), *sorted(options.items()))
        if key not in loaded:
            loaded[key] = load(source, console=console, **options)
        return loaded[key]

    monkeypatch.setattr(writing, "_load", load_once)

    def run(*arguments, **options):
        return CliRunner().invoke(cli.app, [str(a) for a in arguments], **options)

    return run


def refusal(result):
    """The line that a command which is refused leaves."""
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and "Traceback" not in result.stderr
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


# -- Before a model is needed


def test_help_comes_at_once_and_without_tensorflow():
    code = """
import sys, time
from typer.testing import CliRunner
from zoo.cli import app
for verb in (
    *([], ["generate"], ["chat"], ["data", "clean"], ["tokenizer", "train"]),
    *(["fit"], ["evaluate"], ["predict"], ["tune"]),
):
    assert CliRunner().invoke(app, [*verb, "--help"]).exit_code == 0
heavy = {"tensorflow", "keras", "numpy", "jinja2"} & set(sys.modules)
print(sorted(heavy), time.process_time())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    heavy, seconds = done.stdout.rsplit(maxsplit=1)
    assert heavy == "[]", done.stderr
    assert float(seconds) < 0.5


def test_help_says_what_each_option_does(run):
    text = run("generate", "--help").output
    for name in ("--max-new-tokens", "--temperature", "--num-beams", "--json"):
        assert name in text
    assert "Draw tokens; else the best is taken." in text
    assert "Ctrl-C stops an answer" in run("chat", "--help").output


def test_the_version_is_said_by_the_module_too():
    done = subprocess.run(
        [sys.executable, "-m", "zoo", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == f"zoo {zoo.__version__}\n", done.stderr


def test_the_command_that_is_installed_exists():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    name, target = parser["options.entry_points"]["console_scripts"].split("=")
    module, function = target.strip().split(":")
    assert name.strip() == "zoo"
    assert callable(getattr(import_module(module), function))


# -- generate


def test_generate_prints_what_the_model_writes(run, directory):
    wanted = GPTModel.from_pretrained(directory).generate(PROMPT, max_new_tokens=6)
    for prompt, options in ((PROMPT, {}), ("-", {"input": f"{PROMPT}\n"})):
        result = run("generate", directory, prompt, "--max-new-tokens", 6, **options)
        assert (result.exit_code, result.stdout) == (0, f"{wanted}\n"), result.stderr
    result = run("generate", directory, PROMPT, "--max-new-tokens", 6, "--stream")
    assert result.stdout == f"{wanted}\n"


def test_an_assistant_drafts_for_generate_and_chat(run, directory):
    drafts = ["--assistant", directory, "--num-assistant-tokens", 2]
    length = ["--max-new-tokens", 6]
    for verb, options in (
        (["generate", directory, PROMPT], {}),
        (["chat", directory], {"input": "hello\n"}),
    ):
        wanted = run(*verb, *length, **options)
        result = run(*verb, *length, *drafts, **options)
        assert (result.exit_code, result.stdout) == (0, wanted.stdout), result.stderr
        assert "do_sample=True" in refusal(run(*verb, *drafts, "--do-sample"))
    number = refusal(run("generate", directory, PROMPT, "--num-assistant-tokens", 2))
    assert "assistant_model=" in number


def test_generate_prints_json(run, directory):
    options = "--max-new-tokens 4 --do-sample --num-return-sequences 2 --seed 3".split()
    result = run("generate", directory, PROMPT, "--json", *options)
    found = json.loads(result.stdout)
    assert found["prompt"] == PROMPT and len(found["sequences"]) == 2
    for sequence in found["sequences"]:
        assert 0 < len(sequence["ids"]) <= 4
        assert sequence["finish_reason"] in ("stop", "length")
        assert isinstance(sequence["text"], str)


def test_what_has_no_score_is_told_in_words_of_json(run, monkeypatch):
    class Silent:
        def generate(self, prompt, **options):
            return [Sequence("", [], "length", -float("inf"))]

    monkeypatch.setattr("zoo.cli.writing._load", lambda *_, **__: Silent())
    result = run("generate", "a model", PROMPT, "--json")
    found = json.loads(result.stdout, parse_constant=pytest.fail)
    assert found["sequences"][0]["score"] is None


def test_a_model_that_is_not_there_is_one_line(run, tmp_path):
    assert "no such directory" in refusal(run("generate", tmp_path / "nothing", PROMPT))
    assert "there is no such file" in refusal(run("chat", tmp_path / "nothing.gguf"))


def test_options_that_contradict_are_one_line(run, directory):
    message = refusal(run("generate", directory, PROMPT, "--temperature", 0.5))
    assert "do_sample" in message
    message = refusal(run("generate", directory, PROMPT, "--stream", "--json"))
    assert "--stream and --json contradict" in message
    assert "do_sample" in refusal(run("chat", directory, "--top-p", 0.5))


def test_a_model_that_does_not_write_or_converse_is_refused(run, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    message = refusal(run("generate", tmp_path, PROMPT))
    assert "bert model, which reads and does not write" in message
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    assert "does not converse" in refusal(run("chat", tmp_path))


def test_a_model_without_a_template_asks_for_one(run, tmp_path):
    talking(template=None).save_pretrained(tmp_path)
    assert "Pass chat_template=" in refusal(run("chat", tmp_path))
    (tmp_path / "chatml.jinja").write_text(CHATML)
    given = f"@{tmp_path / 'chatml.jinja'}"
    result = run("chat", tmp_path, "--chat-template", given, input="/exit\n")
    assert result.exit_code == 0, result.output


def test_prompts_of_other_bytes_than_utf_8_are_repaired(run, monkeypatch):
    class Echo:
        def generate(self, prompt, **options):
            return prompt

    monkeypatch.setattr("zoo.cli.writing._load", lambda *_, **__: Echo())
    for prompt, options in (("a\udcffb", {}), ("-", {"input": b"a\xffb\n"})):
        result = run("generate", "a model", prompt, **options)
        assert (result.exit_code, result.stdout) == (0, "a\ufffdb\n"), result.output


# -- chat


def test_a_conversation_goes_on_and_is_saved(run, directory, tmp_path):
    file = tmp_path / "said.json"
    lines = [
        *("/system be brief", PROMPT, f"/save {file}", "  ", "the", f"/save {file}"),
        *("/nonsense", "/help", "/reset", "/system", "/save", f"/save {directory}"),
        *("/exit", "never said"),
    ]
    result = run("chat", directory, "--max-new-tokens", 4, input="\n".join(lines))
    assert result.exit_code == 0, result.output
    messages = json.loads(file.read_text(encoding="utf-8"))
    roles = [message["role"] for message in messages]
    assert roles == ["system", "user", "assistant", "user", "assistant"]
    keras.utils.clear_session()
    model = GPTModel.from_pretrained(directory)
    assert messages[2]["content"] == model.chat(messages[:2], max_new_tokens=4)
    assert messages[4]["content"] == model.chat(messages[:4], max_new_tokens=4)
    assert result.stdout == "".join(f"{messages[i]['content']}\n" for i in (2, 4))
    for said in (
        *("3 messages saved", "5 messages saved", "/nonsense is not a command"),
        *("/reset  ", "A new conversation", "System message: be brief"),
        *("/save needs the name", "give another name"),
    ):
        assert said in result.stderr


class Parrot:
    """Says pieces; a callable among them is called instead."""

    def __init__(self, *pieces):
        self.pieces = pieces

    def chat(self, messages, *, stream, **options):
        self.heard = messages
        for piece in self.pieces:
            if callable(piece):
                piece()
            else:
                yield piece


def talk(model):
    return conversation.Talk(model, {}, Console(stderr=True))


def interrupt():
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_stops_the_answer_and_keeps_what_was_said(capsys):
    talking = talk(Parrot("one ", interrupt, "two ", "three "))
    talking.answer("count")
    assert capsys.readouterr().out == "one two  [stopped]\n"
    said = [message["content"] for message in talking.messages]
    assert said == ["count", "one two "]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_does_not_wait_for_a_piece(capsys):
    talking = talk(Parrot("one ", interrupt, interrupt, "two "))
    talking.answer("count")
    assert capsys.readouterr().out == "one \n"
    silent = talk(Parrot(interrupt, interrupt, "one"))
    silent.answer("count")
    assert capsys.readouterr().out == "" and silent.messages == []


def test_without_a_standard_input_there_is_nothing_to_say(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    talk(Parrot("yes")).run()
    assert capsys.readouterr().out == ""
    with pytest.raises(InputError, match="no standard input"):
        terminal.read_all()


def test_what_is_typed_in_other_bytes_than_utf_8_is_repaired(monkeypatch):
    typed = io.TextIOWrapper(io.BytesIO(b"/system \xff\na\xffb\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", typed)
    talking = talk(Parrot("yes"))
    talking.run()
    said = [message["content"] for message in talking.messages]
    assert said == ["\ufffd", "a\ufffdb", "yes"]


def test_an_answer_that_fails_is_taken_back_with_its_question(capsys):
    def fail():
        raise InputError("the prompt\nis too long")

    talking = talk(Parrot(fail))
    talking.answer("count")
    assert talking.messages == []
    assert capsys.readouterr().err == "error: the prompt is too long\n"


def test_the_status_says_that_something_is_compiled():
    logger, taken = logging.getLogger("zoo.generation.generator"), []

    def pieces():
        for number in range(3):
            taken.append(number)
            yield str(number)
            if number == 0:
                logger.info("compiling go")

    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True)
    found = terminal.watched(pieces(), console)
    assert next(found) == "0" and taken == [0]  # nothing was compiled before it
    assert "".join(found) == "12" and "Compiling" not in shown.getvalue()
    logger.info("nobody listens any more")

    def compiled():
        logger.info("compiling begin")
        yield from pieces()

    del taken[:]
    found = terminal.watched(compiled(), console)
    assert next(found) == "0" and taken == [0, 1]
    assert "Compiling for this length (first time only)" in shown.getvalue()
    assert "".join(found) == "12"


def test_what_a_model_writes_cannot_move_the_cursor(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    terminal.write("a\x1b[2Jb\t\n👩‍👧\x9b")
    assert out.getvalue() == "a\ufffd[2Jb\t\n👩‍👧\ufffd"


def test_ctrl_c_on_a_terminal_stops_the_answer_and_ctrl_d_leaves():
    code = """
import fcntl, termios, time
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Ctrl-C goes to whom the terminal belongs
from rich.console import Console
from zoo.cli.conversation import Talk
class Slow:
    def chat(self, messages, **options):
        for i in range(1000):
            yield f"piece{i} "
            time.sleep(0.02)
Talk(Slow(), {}, Console(stderr=True)).run()
print("LEFT")
"""
    terminal, other = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=other,
        stdout=other,
        stderr=other,
        start_new_session=True,
    )
    os.close(other)
    try:
        wait_for(terminal, b"> ")
        os.write(terminal, b"count\n")
        wait_for(terminal, b"piece3 ")
        os.write(terminal, b"\x03")
        wait_for(terminal, b"[stopped]")
        wait_for(terminal, b"> ")
        # Between showing its prompt and waiting for a line, Python notes a signal
        # and acts at the next key only, as whoever presses Ctrl-C again finds out.
        press_until(terminal, b"\x03", b"Ctrl-D or /exit leaves.")
        wait_for(terminal, b"> ")
        press_until(terminal, b"\x04", b"LEFT")
        assert child.wait(timeout=60) == 0
    finally:
        child.kill()
        child.wait()
        os.close(terminal)


def press_until(terminal, key, words, seconds=60):
    """Presses a key, again each second, until the terminal shows these words."""
    seen, end = b"", time.monotonic() + seconds
    while words not in seen:
        assert time.monotonic() < end, seen
        os.write(terminal, key)
        seen += read_for(terminal, words, time.monotonic() + 1)


def wait_for(terminal, words, seconds=60):
    """Reads a terminal until it shows these words."""
    seen = read_for(terminal, words, time.monotonic() + seconds)
    assert words in seen, seen


def read_for(terminal, words, end):
    """What a terminal shows up to these words, or up to a time."""
    seen = b""
    while words not in seen:
        if not select.select([terminal], [], [], max(end - time.monotonic(), 0))[0]:
            break
        try:
            seen += os.read(terminal, 1)
        except OSError:  # how Linux says that the other side has closed
            pytest.fail(f"left without {words!r}: {seen!r}")
    return seen


@pytest.mark.download
def test_smollm2_is_asked_from_the_command_line(sample):
    path = next(Path(sample("smollm2-gguf")).rglob("*.gguf"))
    result = CliRunner().invoke(
        cli.app, ["chat", str(path)], input="What is the capital of France?\n"
    )
    assert "Paris" in result.stdout and END not in result.stdout
