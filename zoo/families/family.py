"""A family: one translation of its config.json and one table of its weights."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from zoo.checkpoints import SAME, Row, WeightTable
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
            "question_answering", "causal_lm", "seq2seq_lm".
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


def linear(weight, tensors, transform=SAME):
    """Rows of a weight and its bias; `tensors` is one name or those that it stacks."""
    names = (tensors,) if isinstance(tensors, str) else tensors
    return tuple(
        Row(f"{weight}.{part}", tuple(f"{name}.{part}" for name in names), transform)
        for part in ("weight", "bias")
    )


def with_prefix(table, prefix):
    """The table of checkpoints whose body has its names under another prefix.

    Heads keep theirs.
    """
    heads = {
        name for rows in table.heads.values() for row in rows for name in row.tensors
    }

    def moved(name):
        return name if name in heads else prefix + name.removeprefix(table.prefix)

    return replace(
        table,
        base=tuple(
            replace(row, tensors=tuple(map(moved, row.tensors))) for row in table.base
        ),
        prefix=prefix,
        aliases={moved(copy): moved(name) for copy, name in table.aliases.items()},
        ignored=tuple(map(moved, table.ignored)),
    )


def query_key_value_rows(config):
    """Rows of queries, keys and values in a stacked weight."""
    keys = config.num_key_value_heads * config.head_dim
    return config.num_attention_heads * config.head_dim, keys, keys
