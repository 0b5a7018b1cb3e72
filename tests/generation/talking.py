"""A tiny model that converses: its tokenizer has a template and ends of turns."""

import json

from tests.generation import tiny
from zoo.tokenizers import Tokenizer

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
END, START = "<turn|>", "<|turn>"
TURNS = CHATML.replace("<|im_start|>", START).replace("<|im_end|>", END)


def talking(template=TURNS, **settings):
    """A tiny model whose tokenizer knows where turns begin and end."""
    files = tiny.byte_level().get_files()
    document = json.loads(files["tokenizer.json"])
    options = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    first = len(document["model"]["vocab"])
    for i, token in enumerate((START, END)):
        added = {"id": first + i, "content": token, "special": True, **options}
        document["added_tokens"].append(added)
    document["post_processor"] = {  # as Llama's: <s> before every text
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [
            {"Sequence": {"id": "A", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 0}},
        ],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    }
    settings = {"bos_token": "<s>", "eos_token": "</s>", **settings}
    if template is not None:
        settings["chat_template"] = template
    tokenizer = Tokenizer(
        {
            "tokenizer.json": json.dumps(document).encode(),
            "tokenizer_config.json": json.dumps(settings).encode(),
        }
    )
    model = tiny.make(
        "grouped",
        vocab_size=tokenizer.vocab_size,
        eos_token_id=2,
        max_position_embeddings=512,  # conversations grow
    )
    model.tokenizer = tokenizer
    return model
