"""Mistral (Jiang et al. 2023, arXiv:2310.06825): Llama with a sliding window."""

from zoo.families.family import Family
from zoo.families.llama import FIXED, KEYS, TABLE, architectures
from zoo.families.translation import Key, Translation, with_defaults

MISTRAL = Family(
    assembly="decoder",
    translation=Translation(
        model_type="mistral",
        fixed={**FIXED, "attention_bias": False, "mlp_bias": False},
        entries=(
            *with_defaults(
                KEYS,
                num_key_value_heads=8,
                intermediate_size=14336,
                max_position_embeddings=131072,
            ),
            Key("head_dim", default=None),
            Key("sliding_window", default=4096),
            Key("bos_token_id", default=1),
            Key("eos_token_id", default=2),
        ),
    ),
    table=TABLE,
    architectures=architectures("Mistral"),
)
