"""Model families as data: how each spells its configuration and names its weights."""

from reprlib import repr as short

from zoo.errors import CheckpointError, ConfigError
from zoo.families.bert import BERT
from zoo.families.family import Family
from zoo.families.gpt2 import GPT2
from zoo.families.llama import LLAMA
from zoo.families.mistral import MISTRAL
from zoo.families.nomic_bert import NOMIC_BERT
from zoo.families.qwen2 import QWEN2
from zoo.families.t5 import MT5, T5, UMT5

FAMILIES = {
    family.model_type: family
    for family in (BERT, NOMIC_BERT, GPT2, LLAMA, MISTRAL, QWEN2, T5, MT5, UMT5)
}

__all__ = ["FAMILIES", "Family", "family_for", "family_named"]


def family_named(model_type) -> Family:
    """The family that a config.json calls `model_type`.

    Raises:
        CheckpointError: if zoo does not know it.
    """
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise CheckpointError(
            f"config.json: model_type={short(model_type)} is not a family that zoo "
            f"knows. Known: {', '.join(FAMILIES)}."
        )
    return FAMILIES[model_type]


def family_for(config, assembly) -> Family:
    """The family that writes this configuration: its own, or the first that can say it.

    Raises:
        ConfigError: if none can, with what each of them lacks.
    """
    if config.model_type is not None:
        family = family_named(config.model_type)
        if family.assembly != assembly:
            raise ConfigError(
                f"model_type={config.model_type!r} is {family.assembly}, but this "
                f"model is {assembly}. Leave model_type out, or use the right class."
            )
        return family
    refusals = []
    for family in FAMILIES.values():
        if family.assembly != assembly:
            continue
        try:
            family.translation.write(config)
            return family
        except (ConfigError, CheckpointError) as error:
            refusals.append(f"- {error}")
    raise ConfigError(
        "no family can write this configuration as a Hugging Face checkpoint:\n"
        + "\n".join(refusals)
        + "\nSave it with model.save('model.keras') instead."
    )
