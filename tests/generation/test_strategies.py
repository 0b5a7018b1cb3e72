"""A strategy that is named: it has to be what the options come to."""

import pytest

from tests.generation.tiny import make
from zoo.errors import ConfigError
from zoo.generation import generator
from zoo.generation.strategies import STRATEGIES

GROUPS = {"num_beam_groups": 2, "diversity_penalty": 0.5}
NEEDED = {
    "greedy": {},
    "sample": {},
    "beam": {"num_beams": 4},
    "beam_sample": {"num_beams": 4},
    "diverse_beam": {"num_beams": 4, **GROUPS},
    "contrastive": {"penalty_alpha": 0.6, "top_k": 4},
    "assisted": {},
}
# A checkpoint that has something to say on every one of them.
CHECKPOINT = {"do_sample": True, "temperature": 0.5, "num_beams": 6, **GROUPS}


@pytest.fixture(scope="module")
def model():
    return make("learned", num_hidden_layers=1)


def test_there_are_as_many_names_as_strategies():
    assert list(STRATEGIES) == list(NEEDED) == list(generator.STRATEGIES)


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("defaults", [None, CHECKPOINT], ids=["plain", "checkpoint"])
def test_a_name_settles_what_the_checkpoint_says_otherwise(model, name, defaults):
    model.generation_defaults = defaults
    options = dict(NEEDED[name])
    if name == "assisted":
        options["assistant_model"] = model
    assert model.generation_config(strategy=name, **options).strategy == name


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("best", {}, r"strategy='best': expected one of greedy, sample, beam"),
        (["beam"], {}, r"strategy=\['beam'\]: expected one of"),
        ("greedy", {"num_beams": 4}, r"strategy='greedy' and num_beams=4 contradict"),
        ("greedy", {"do_sample": True}, r"strategy='greedy' and do_sample=True"),
        ("sample", {"do_sample": False}, r"strategy='sample' and do_sample=False"),
        ("beam", {"do_sample": True}, r"strategy='beam' and do_sample=True"),
        ("beam", {}, r"'beam' needs num_beams above 1.* it would be 'greedy'"),
        ("beam_sample", {}, r"needs num_beams above 1.* it would be 'sample'"),
        ("diverse_beam", {"num_beams": 4}, r"num_beam_groups.* would be 'beam'"),
        ("contrastive", {}, r"needs a penalty_alpha.* would be 'greedy'"),
        ("assisted", {}, r"needs an assistant_model"),
    ],
)
def test_a_name_that_options_do_not_come_to_is_refused(model, name, options, said):
    model.generation_defaults = None
    with pytest.raises(ConfigError, match=said):
        model.generation_config(strategy=name, **options)
