"""Conversations: templates as the reference renders them, limits, and answers."""

import datetime

import pytest
import tokenizers

from tests.generation import tiny
from tests.generation.talking import CHATML, END, START, TURNS, talking
from zoo.errors import CheckpointError, InputError
from zoo.generation.chat import (
    apply_template,
    check_messages,
    choose_template,
    end_of_turn,
    special_tokens,
)

USER = {"role": "user", "content": "the cat"}
# In the manner of SmolLM2, Llama 3, Mistral and Qwen, of which each has its devices:
# loop variables, filters, slices, namespaces, macros, tools, raise_exception, the date.
TEMPLATES = {
    "smollm": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != "
        "'system' %}{{ '<|im_start|>system\nYou are helpful<|im_end|>\n' }}{% endif %}"
        + CHATML.removeprefix("{% for message in messages %}")
    ),
    "llama": """{{- bos_token }}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today: " + strftime_now("%d %b %Y") + "\\n" }}
{%- if tools is not none %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {{- message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "mistral": (
        "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') "
        "!= (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must "
        "alternate user/assistant/user/assistant/...') }}{% endif %}"
        "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + "
        "' [/INST]' }}{% elif message['role'] == 'assistant' %}"
        "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
        "{% else %}{{ raise_exception('Only user and assistant roles') }}{% endif %}"
        "{% endfor %}"
    ),
    "qwen": """{%- macro shown(message) %}
    {{- '<|im_start|>' ~ message.role ~ '\\n' }}
    {%- if message.content is string %}
        {{- message.content }}
    {%- else %}
        {%- for part in message.content if part.type == 'text' %}
            {{- part.text }}
        {%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endmacro %}
{%- set ns = namespace(last=messages|length - 1, seen=false) %}
{%- if tools %}
    {{- '<tools>' }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- '\\n</tools>\\n' }}
{%- endif %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if message.role == "user" and not ns.seen %}
        {%- set ns.seen = true %}
        {%- set ns.last = index %}
        {%- break %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if loop.index0 > ns.last %}{% continue %}{% endif %}
    {{- shown(message) }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
""",
}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": '<b>It\'s</b> 天气 & "wind"',
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
    },
}
CONVERSATIONS = [
    [USER],
    [{"role": "system", "content": " 请 be brief \n"}, USER],
    [
        USER,
        {"role": "assistant", "content": "sat 🐱"},
        {"role": "user", "content": "  and <|im_end|> then?\n", "name": None},
    ],
    [USER, USER],
]
ATTACKS = {
    "writes": "{% for i in range(99999) %}{{ 'a' * 999 }}{% endfor %}",
    "multiplies": "{{ 'a' * 10**10 }}",
    "pads": "{{ 'a'.ljust(10**10) }}",
    "formats": "{{ '%10000000000d' % 1 }}",
    "doubles": "{% set ns = namespace(x='a') %}{% for i in range(60) %}"
    "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "recurses": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "nests": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "reaches": "{{ ''.__class__ }}",
    "filters": "{{ messages|attr('__class__') }}",
    "imports": "{{ cycler.__init__.__globals__.os }}",
    "stores": "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
    "appends": "{{ messages.append(messages) }}",
    "includes": "{% include '/etc/passwd' %}",
    "breaks": "{% for %}",
}


def render(template, messages=(USER,), **variables):
    return apply_template(template, messages, **variables)


def reference(template):
    """transformers' tokenizer with a template, and tokens of its own."""
    transformers = pytest.importorskip("transformers")
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(tokenizers.models.BPE()),
        bos_token="<s>",
        eos_token="</s>",
    )
    made.chat_template = template
    return made


@pytest.mark.parity
@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_are_rendered_as_the_reference_does(name):
    theirs = reference(TEMPLATES[name])
    options = ({}, {"tools": [TOOL]}, {"enable_thinking": False})
    for messages in CONVERSATIONS:
        for given in options:
            try:
                wanted = theirs.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True, **given
                )
            except Exception as error:
                with pytest.raises(InputError, match=str(error).split("/")[0]):
                    render(TEMPLATES[name], messages, bos_token="<s>", **given)
                continue
            ours = render(
                TEMPLATES[name],
                messages,
                bos_token="<s>",
                eos_token="</s>",
                **given,
            )
            assert ours.text == wanted


def test_a_conversation_becomes_a_prompt():
    prompt = render(CHATML)
    assert prompt.text == "<|im_start|>user\nthe cat<|im_end|>\n<|im_start|>assistant\n"
    assert prompt.behind == "<|im_end|>\n"
    assert render(CHATML, add_generation_prompt=False).text.endswith("<|im_end|>\n")


def test_blocks_leave_no_lines_and_json_is_not_escaped():
    template = (
        "{% if tools %}\n  {% for t in tools %}\n{{ t | tojson }}\n{% endfor %}\n"
    )
    template += "{% endif %}\n{{ strftime_now('%Y') }}{{ documents[0].title }}"
    text = render(template, tools=[{"a": "<天>"}], documents=[{"title": " D"}]).text
    assert text == f'{{"a": "<天>"}}\n{datetime.date.today().year} D'


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_template_is_refused_with_an_error(name):
    with pytest.raises(InputError, match=r"^chat template: ") as caught:
        render(ATTACKS[name])
    assert len(str(caught.value)) < 500


def test_a_template_without_end_is_stopped():
    with pytest.raises(InputError, match="needs more than 2 seconds"):
        render("{% for i in range(99999) %}" * 2 + "{% endfor %}" * 2)


def test_what_a_template_raises_is_said():
    with pytest.raises(InputError, match="it says: roles must alternate"):
        render("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(InputError, match="asks for what is not there: 'day'"):
        render("{{ day.name }}")


@pytest.mark.parametrize(
    ("messages", "match"),
    [
        ("hello", "messages is str"),
        (USER, "messages is dict"),
        ([], "messages is empty"),
        (["hello"], r"messages\[0\] is str"),
        ([USER, {"role": "user"}], r"messages\[1\] has no 'content'"),
        ([{"text": "a"}], "has no 'role' and no 'content'; its keys are 'text'"),
        ([{"role": 1, "content": "a"}], "role is int"),
        ([{"role": "user", "content": 7}], "content is int"),
        ([{"role": "user", "content": None}], "has no 'content'"),
    ],
)
def test_what_is_not_a_conversation_is_refused(messages, match):
    with pytest.raises(InputError, match=match):
        check_messages(messages)


def test_a_call_of_a_tool_needs_no_content():
    call = {"role": "assistant", "content": None, "tool_calls": [{"type": "function"}]}
    assert check_messages([call]) == [{k: call[k] for k in ("role", "tool_calls")}]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (5, "template_options is 5; expected a dictionary"),
        ({1: 2}, r"template_options is \{1: 2\}; expected a dictionary"),
        ({"messages": []}, "'messages', which is an argument of its own"),
        ({"tools": []}, "'tools', which is an argument of its own"),
    ],
)
def test_options_of_a_template_are_a_dictionary_of_other_names(model, options, match):
    with pytest.raises(InputError, match=match):
        model.chat([USER], template_options=options)


def test_what_json_has_no_words_for_is_refused():
    with pytest.raises(InputError, match="texts, numbers, lists and dictionaries"):
        render(CHATML, tools=[{"function": print}])


def test_a_template_is_chosen_by_its_name():
    several = {"default": "{{ 1 }}", "tool_use": "{{ 2 }}"}
    listed = [{"name": k, "template": v} for k, v in several.items()]
    for own in (several, listed):
        assert choose_template(own) == "{{ 1 }}"
        assert choose_template(own, tools=[TOOL]) == "{{ 2 }}"
        assert choose_template(own, "tool_use") == "{{ 2 }}"
        assert choose_template(own, "{{ 3 }}") == "{{ 3 }}"
    assert choose_template("{{ 1 }}", tools=[TOOL]) == "{{ 1 }}"


@pytest.mark.parametrize(
    ("own", "given", "match"),
    [
        (None, None, r"no chat template. Pass chat_template="),
        ({"a": "{{ 1 }}", "b": "{{ 2 }}"}, None, "'a', 'b', and none is the default"),
        ({"a": "{{ 1 }}"}, "b", "'b' is neither Jinja source nor .* it has 'a'"),
        (None, "chatml", "'chatml' is neither"),
        (None, 3, "chat_template is int"),
    ],
)
def test_a_template_that_is_missing_is_asked_for(own, given, match):
    with pytest.raises(InputError, match=match):
        choose_template(own, given)


# -- With a model


@pytest.fixture(scope="module")
def model():
    return talking()


def test_the_prompt_is_the_rendered_text_and_no_special_token_more(model):
    text = f"{START}user\nthe cat{END}\n{START}assistant\n"
    ids = model.tokenizer([text], add_special_tokens=False)["input_ids"].numpy()[0]
    end = model.tokenizer.token_to_id(END)
    assert list(ids).count(end) == 1 and ids[0] == model.tokenizer.token_to_id(START)
    answer = model.chat([USER], max_new_tokens=12)
    written = model.generate(ids, max_new_tokens=12, eos_token_id=[2, end])
    assert model.tokenizer.decode([*ids, *written], skip_special_tokens=True).endswith(
        answer
    )
    pieces = list(model.chat([USER], max_new_tokens=12, stream=True))
    assert "".join(pieces) == answer


def test_special_tokens_are_recognised_in_messages_too(model):
    """As in the reference: who types the end of a turn ends it."""
    text = render(TURNS, [{"role": "user", "content": f"a{END}b"}]).text
    ids = model.tokenizer([text], add_special_tokens=False)["input_ids"].numpy()[0]
    assert list(ids).count(model.tokenizer.token_to_id(END)) == 2


def test_an_answer_ends_where_the_template_ends_a_turn(model):
    end = model.tokenizer.token_to_id(END)
    result = model.chat(
        [USER],
        max_new_tokens=12,
        forced_eos_token_id=end,
        return_dict_in_generate=True,
    )
    assert result.ids[-1] == end and result.finish_reason == "stop"


def test_the_end_of_a_turn_is_read_off_the_template(model):
    tokenizer = model.tokenizer
    end, eos = tokenizer.token_to_id(END), tokenizer.eos_token_id
    assert end_of_turn(f"{END}\n", tokenizer) == end
    assert end_of_turn("</s>", tokenizer) == eos
    assert end_of_turn("\n" + END, tokenizer) == end
    assert end_of_turn("", tokenizer) is None
    assert end_of_turn("<|other|>", tokenizer) is None
    assert special_tokens(tokenizer) == {"bos_token": "<s>", "eos_token": "</s>"}


def test_a_model_without_a_template_or_a_tokenizer_says_what_to_pass():
    model = talking(template=None)
    with pytest.raises(InputError, match="Pass chat_template="):
        model.chat([USER])
    with pytest.raises(CheckpointError, match=r"Set model\.tokenizer"):
        tiny.make("grouped").chat([USER])


def test_named_templates_come_with_the_tokenizer():
    several = [{"name": n, "template": f"{{{{ '{n}' }}}}"} for n in ("default", "b")]
    model = talking(several)
    named = {"default": "{{ 'default' }}", "b": "{{ 'b' }}"}
    assert model.tokenizer.chat_template == named


@pytest.mark.download
def test_smollm2_answers_paris(sample):
    from zoo.models import GPTModel

    model = GPTModel.from_pretrained(sample("smollm2-gguf"))
    question = {"role": "user", "content": "What is the capital of France?"}
    answer = model.chat([question], max_new_tokens=24)
    assert "Paris" in answer and "<|im_end|>" not in answer
    pieces = list(model.chat([question], max_new_tokens=24, stream=True))
    assert "".join(pieces) == answer and len(pieces) > 1
