"""What `zoo fit` is told of a model reaches the model of the task."""

import pytest

from zoo.cli.fitting import Material
from zoo.errors import InputError


class Kind:
    """A task of which a new model can be made."""

    sample_model = None

    @classmethod
    def adapt_config(cls, config, *, prefix=None):
        return config

    @classmethod
    def from_examples(cls, examples, *, vocab_size=8000, dtype=None, **options):
        return cls()

    @classmethod
    def options_for(cls, examples):
        return {"labels": ["a"]}


def test_the_size_of_a_new_model_is_an_option_and_that_of_another_is_not():
    material = Material("translation", Kind, None, None, None)
    given = {"vocab_size": 60, "prefix": "x: "}
    assert material.options({"options": given}) == {"labels": ["a"], **given}
    with pytest.raises(InputError, match=r"vocab_size: Kind .* It has prefix\."):
        material.options({"options": given, "model": "a directory"})
    for unknown in ("dtype", "examples", "options", "width"):
        with pytest.raises(InputError, match=f"--option {unknown}: .*vocab_size"):
            material.options({"options": {unknown: 1}})
