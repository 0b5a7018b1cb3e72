"""Conversations as prompts, by the Jinja templates that checkpoints bring along.

What a template sees is what Hugging Face shows it (transformers 5.23), so that prompts
are equal. It is rendered in a process of its own, with limits: see
`zoo.generation.rendering`.
"""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from zoo.errors import InputError
from zoo.files import shorten

RENDERER = Path(__file__).with_name("rendering.py")
# Real templates take milliseconds and a few MiB.
LIMITS = {"seconds": 2, "memory": 512 << 20, "longest": 4 << 20}
# A busy machine may be slow to start a process; the renderer limits itself much below.
PATIENCE = 60  # seconds
LONGEST_ERROR = 400  # characters

# Stands for an answer, where one is needed to see what a template puts behind it.
ANSWER = "zoo:answer"
PROBE = [{"role": "user", "content": "-"}, {"role": "assistant", "content": ANSWER}]
TOKEN_LIKE = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")


class Prompt(NamedTuple):
    """A rendered conversation.

    Attributes:
        text: The prompt; special tokens stand in it as text.
        behind: What the template puts behind an answer, "" if that is not known.
    """

    text: str
    behind: str


def choose_template(own, given=None, *, tools=None):
    """The source of the template to use.

    Args:
        own: What the tokenizer has: a source, or several under their names (a
            dictionary, or a list of `{"name": ..., "template": ...}`), or None.
        given: What the caller passes: a source, the name of one of them, or None for
            "default"; with `tools`, "tool_use" if there is one.

    Raises:
        InputError: if there is none, or none of this name.
    """
    if isinstance(own, list):
        own = {each["name"]: each["template"] for each in own}
    named = own if isinstance(own, dict) else {} if own is None else {"default": own}
    if given is None:
        given = "tool_use" if tools and "tool_use" in named else "default"
        if given not in named and named:
            raise InputError(
                f"this tokenizer has several chat templates, {_list(named)}, and none "
                "is the default. Pass chat_template= one of these names."
            )
        if given not in named:
            raise InputError(
                "this tokenizer has no chat template. Pass chat_template= the Jinja "
                "source of one, such as that in another model's tokenizer_config.json "
                "or chat_template.jinja; or use generate(), which takes plain text."
            )
    if not isinstance(given, str):
        raise InputError(
            f"chat_template is {type(given).__name__}; expected Jinja source, or the "
            "name of one of the tokenizer's templates."
        )
    if given in named:
        return named[given]
    if "{" not in given:
        known = f"it has {_list(named)}" if named else "it has no template"
        raise InputError(
            f"chat_template={shorten(given)} is neither Jinja source nor the name of "
            f"a template of this tokenizer: {known}."
        )
    return given


def check_messages(messages):
    """The messages, once they are known to be a conversation.

    Raises:
        InputError: naming the first that is not a dictionary of role and content.
    """
    if isinstance(messages, dict | str | bytes) or not hasattr(messages, "__iter__"):
        raise InputError(
            f"messages is {type(messages).__name__}; expected a list such as "
            '[{"role": "user", "content": "Hello"}].'
        )
    messages = list(messages)
    if not messages:
        raise InputError("messages is empty; a conversation has at least one message.")
    for i, message in enumerate(messages):
        if not isinstance(message, dict):
            raise InputError(
                f"messages[{i}] is {type(message).__name__}; expected a dictionary "
                'with "role" and "content".'
            )
        # Templates are written for fields that are absent, and not for null.
        message = {key: value for key, value in message.items() if value is not None}
        needed = ("role",) if "tool_calls" in message else ("role", "content")
        missing = [name for name in needed if name not in message]
        if missing:
            raise InputError(
                f"messages[{i}] has no {' and no '.join(map(repr, missing))}; its keys "
                f"are {_list(message)}."
            )
        if not isinstance(message["role"], str):
            raise InputError(
                f"messages[{i}]: role is {type(message['role']).__name__}; expected "
                '"system", "user", "assistant" or what else the template knows.'
            )
        if not isinstance(message.get("content", ""), str | list):
            raise InputError(
                f"messages[{i}]: content is {type(message['content']).__name__}; "
                "expected a text, or a list of parts."
            )
        messages[i] = message
    return messages


def apply_template(
    template,
    messages,
    *,
    tools=None,
    documents=None,
    add_generation_prompt=True,
    **variables,
):
    """Renders a conversation: a Prompt.

    Args:
        template: Jinja source.
        messages: Dictionaries of role and content.
        tools, documents: Lists of dictionaries for templates that know them.
        add_generation_prompt: Whether the beginning of an answer is put at the end.
        variables: What else the template reads, such as `bos_token`.

    Raises:
        InputError: if messages are none, or the template is refused, raises, or goes
            beyond a limit of time, memory or length.
    """
    shared = {**variables, "tools": tools, "documents": documents}
    prompt, probe = _render(
        template,
        [
            {
                "messages": check_messages(messages),
                "add_generation_prompt": add_generation_prompt,
                **shared,
            },
            {"messages": PROBE, "add_generation_prompt": False, **shared},
        ],
    )
    if "error" in prompt:
        raise InputError(f"chat template: {prompt['error'][:LONGEST_ERROR]}.")
    _, found, behind = probe.get("text", "").rpartition(ANSWER)
    return Prompt(prompt["text"], behind if found else "")


def end_of_turn(behind, tokenizer):
    """Id of the token that ends an answer, or None.

    Args:
        behind: As of a Prompt.
        tokenizer: What has `special_tokens` and `token_to_id`.
    """
    behind = behind.lstrip()
    for token in sorted(tokenizer.special_tokens, key=len, reverse=True):
        if behind.startswith(token):
            return tokenizer.token_to_id(token)
    found = TOKEN_LIKE.match(behind)  # some checkpoints do not call theirs special
    return tokenizer.token_to_id(found[0]) if found else None


def special_tokens(tokenizer):
    """The special tokens that templates name: "bos_token" and so on -> text."""
    names = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
    tokens = {f"{name}_token": getattr(tokenizer, f"{name}_token") for name in names}
    return {name: token for name, token in tokens.items() if token is not None}


def template_variables(tokenizer, options=None):
    """What a template reads besides the messages: special tokens, and options.

    Raises:
        InputError: if options are no dictionary, or have what arguments of `chat` say.
    """
    if options is None:
        options = {}
    if not isinstance(options, dict) or not all(isinstance(k, str) for k in options):
        raise InputError(
            f"template_options is {shorten(options)}; expected a dictionary such as "
            '{"enable_thinking": False}.'
        )
    for name in ("template", "messages", "tools", "documents"):
        if name in options:
            raise InputError(
                f"template_options has {name!r}, which is an argument of its own. Pass "
                "it there."
            )
    return {**special_tokens(tokenizer), **options}


def _render(template, jobs):
    """What becomes of each job: a dictionary with "text" or "error"."""
    try:
        given = json.dumps({"template": template, "jobs": jobs, **LIMITS})
    except (TypeError, ValueError) as error:
        raise InputError(
            f"messages, tools, documents and what else a template is given are texts, "
            f"numbers, lists and dictionaries ({error})."
        ) from error
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(RENDERER)],
            input=given,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        error = f"it was not rendered within {PATIENCE} seconds"
    else:
        if done.returncode == 0:
            return json.loads(done.stdout)
        said = done.stderr.strip().splitlines()
        error = f"its process failed ({said[-1] if said else done.returncode})"
        if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            error = f"it needs more than {LIMITS['seconds']} seconds; does it end?"
    return [{"error": error}] * len(jobs)


def _list(names):
    return ", ".join(shorten(name) for name in names)
