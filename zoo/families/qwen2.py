"""Qwen2 and Qwen2.5 (arXiv:2407.10671): Llama with biases on queries, keys, values."""

from zoo.config import MAX_LAYERS
from zoo.families.family import Family
from zoo.families.llama import ANSWERER_TABLE, FIXED, KEYS, TABLE, architectures
from zoo.families.translation import Entry, Key, Translation, with_defaults


class Windows(Entry):
    """Which layers slide: from `max_window_layers` on, or as `layer_types` says."""

    keys = (
        "use_sliding_window",
        "sliding_window",
        "max_window_layers",
        "layer_types",
    )

    def read(self, given):
        window = given.get("sliding_window", 4096)
        if not given.get("use_sliding_window", False) or window is None:
            return {"sliding_window": None, "layer_types": None}
        types, first = given.get("layer_types"), given.get("max_window_layers", 28)
        if types is None:
            kinds = ("full_attention", "sliding_attention")
            count = min(given.get("num_hidden_layers", 32), MAX_LAYERS)
            types = [kinds[index >= first] for index in range(count)]
        if set(types) == {"full_attention"}:
            return {"sliding_window": None, "layer_types": None}
        return {"sliding_window": window, "layer_types": types}

    def write(self, config):
        if config.sliding_window is None:
            return {"use_sliding_window": False}
        layers = range(config.num_hidden_layers)
        return {
            "use_sliding_window": True,
            "sliding_window": config.sliding_window,
            "layer_types": [
                "full_attention" if config.window(i) is None else "sliding_attention"
                for i in layers
            ],
        }


QWEN2 = Family(
    assembly="decoder",
    translation=Translation(
        model_type="qwen2",
        fixed={
            **FIXED,
            "attention_bias": True,
            "attention_output_bias": False,
            "mlp_bias": False,
        },
        entries=(
            *with_defaults(
                KEYS,
                vocab_size=151936,
                num_key_value_heads=32,
                intermediate_size=22016,
                max_position_embeddings=32768,
            ),
            Key("head_dim", default=None),
            Windows(),
        ),
        harmless=frozenset({"use_mrope"}),
    ),
    table=TABLE,
    architectures=architectures("Qwen2"),
    tables={"question_answering": ANSWERER_TABLE},
)
