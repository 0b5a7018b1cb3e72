"""A family: one translation of its config.json and one table of its weights."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from zoo.checkpoints import Row, WeightTable
from zoo.config import TransformerConfig
from zoo.families.translation import Translation


@dataclass(frozen=True)
class Family:
    """What zoo knows of one kind of checkpoint.

    Attributes:
        assembly: "encoder", "decoder" or "encoder_decoder".
        translation: How config.json spells a TransformerConfig.
        table: Which tensors hold which weights; or a function of the configuration
            that says so, where names of tensors depend on it.
        architectures: HF's class name for each architecture of zoo's classes: "model",
            "masked_lm", "sequence_classification", "token_classification",
            "causal_lm", "seq2seq_lm".
        settle: What the names of a checkpoint's tensors still decide about its
            configuration; None where config.json says all.
        tables: Tables of architectures whose tensors have other names.
    """

    assembly: str
    translation: Translation
    table: WeightTable | Callable[[TransformerConfig], WeightTable]
    architectures: Mapping[str, str]
    settle: Callable[[TransformerConfig, Iterable[str]], TransformerConfig] | None = (
        None
    )
    tables: Mapping[str, WeightTable | Callable[[TransformerConfig], WeightTable]] = (
        field(default_factory=dict)
    )

    @property
    def model_type(self) -> str:
        """Its name in config.json."""
        return self.translation.model_type

    def table_for(
        self, config: TransformerConfig, architecture: str | None = None
    ) -> WeightTable:
        """The weight table of this configuration, and of a key of `architectures`."""
        table = self.tables.get(architecture, self.table)
        return table(config) if callable(table) else table


# Of zoo alone: the chain of a TokenClassifier.
CHAIN = tuple(
    Row(f"crf.{name}", f"crf.{name}")
    for name in ("transitions", "start_transitions", "end_transitions")
)


def query_key_value_rows(config):
    """Rows of queries, keys and values in a stacked weight."""
    keys = config.num_key_value_heads * config.head_dim
    return config.num_attention_heads * config.head_dim, keys, keys
