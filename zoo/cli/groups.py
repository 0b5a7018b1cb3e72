"""Groups of options: a dataclass in a verb's signature, an option for each field."""

import dataclasses
import functools
import inspect
from typing import Any, get_type_hints


def with_groups(verb):
    """A verb as Typer reads it, which has an option for each field of its dataclasses.

    The options stand where the dataclass stands in the signature. The verb itself is
    called with an instance.

    Args:
        verb: A function; each of its parameters that is annotated with a dataclass is
            such a group. The fields are annotated as Typer's options are.
    """
    given = inspect.signature(verb, eval_str=True).parameters.values()
    groups: dict[str, Any] = {
        each.name: each.annotation
        for each in given
        if dataclasses.is_dataclass(each.annotation)
    }
    parameters = [
        parameter
        for each in given
        for parameter in (
            _options(groups[each.name]) if each.name in groups else [each]
        )
    ]

    @functools.wraps(verb)
    def called(**options):
        for name, group in groups.items():
            fields = [field.name for field in dataclasses.fields(group)]
            options[name] = group(**{field: options.pop(field) for field in fields})
        return verb(**options)

    del called.__wrapped__  # it has another signature
    signature = inspect.Signature(parameters)
    called.__signature__ = signature  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called


def _options(group):
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty
            if field.default is dataclasses.MISSING
            else field.default,
            annotation=hints[field.name],
        )
        for field in dataclasses.fields(group)
    ]
