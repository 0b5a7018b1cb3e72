"""Strategies by their names: what each asks of the other options.

A strategy follows from the options: `num_beams=4` is beam search. Who names it besides
is told where the two do not agree.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from zoo.errors import ConfigError

NO_BEAMS = {"num_beams": 1}
NO_DRAWS = {"do_sample": False}
NO_GROUPS = {"num_beam_groups": 1, "diversity_penalty": 0.0}
NO_PENALTY = {"penalty_alpha": 0.0}


class Strategy(NamedTuple):
    """What a strategy is made of.

    Attributes:
        sets: Options that it settles, whatever the checkpoint says of them.
        needs: What the caller has to give besides, in words.
    """

    sets: Mapping[str, Any]
    needs: str = ""


STRATEGIES = {
    "greedy": Strategy({**NO_DRAWS, **NO_BEAMS, **NO_GROUPS, **NO_PENALTY}),
    "sample": Strategy(
        {"do_sample": True, **NO_BEAMS, **NO_GROUPS, **NO_PENALTY},
    ),
    "beam": Strategy(
        {**NO_DRAWS, **NO_GROUPS, **NO_PENALTY}, "num_beams above 1, such as 4"
    ),
    "beam_sample": Strategy(
        {"do_sample": True, **NO_GROUPS, **NO_PENALTY}, "num_beams above 1, such as 4"
    ),
    "diverse_beam": Strategy(
        {**NO_DRAWS, **NO_PENALTY},
        "num_beams, num_beam_groups above 1 and a diversity_penalty, such as 4, 2 "
        "and 0.5",
    ),
    "contrastive": Strategy(
        {**NO_DRAWS, **NO_BEAMS}, "a penalty_alpha and a top_k, such as 0.6 and 4"
    ),
    "assisted": Strategy(
        {**NO_DRAWS, **NO_BEAMS, **NO_GROUPS, **NO_PENALTY}, "an assistant_model"
    ),
}


def options_of(strategy, options):
    """The options of a call that names its strategy.

    Args:
        strategy: One of STRATEGIES, or None.
        options: What the caller gives besides.

    Raises:
        ConfigError: if there is no such strategy, or an option asks for another.
    """
    if strategy is None:
        return options
    if not isinstance(strategy, str) or strategy not in STRATEGIES:
        raise ConfigError(
            f"strategy={strategy!r}: expected one of {', '.join(STRATEGIES)}, or none: "
            "it follows from the other options."
        )
    sets = STRATEGIES[strategy].sets
    for name, value in sets.items():
        if options.get(name, value) != value:
            raise ConfigError(
                f"strategy={strategy!r} and {name}={options[name]!r} contradict each "
                "other. Leave one out."
            )
    return {**sets, **options}


def check_strategy(strategy, config):
    """Refuses a configuration that does not come to the strategy that was named."""
    if strategy not in (None, config.strategy):
        raise ConfigError(
            f"strategy={strategy!r} needs {STRATEGIES[strategy].needs}; with the "
            f"options given it would be {config.strategy!r}."
        )
