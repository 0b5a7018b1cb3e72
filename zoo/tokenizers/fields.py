"""Strict reading of the objects in tokenizer files: handled, or refused by name."""

from zoo.errors import TokenizerError

REQUIRED = object()


def options(value, where, known):
    """The options of one JSON object, each of the expected type.

    Args:
        value: What stands in the file.
        where: How errors call it, such as "tokenizer.json: normalizer".
        known: Name -> (type or tuple of types, default or `REQUIRED`).

    Returns:
        dict with every known name.

    Raises:
        TokenizerError: if it is not an object, an option is missing or of another
            type, or stands there and is not known.
    """
    if not isinstance(value, dict):
        raise TokenizerError(f"{where}: expected an object, found {shown(value)}.")
    unknown = sorted(set(value) - set(known) - {"type"})
    if unknown:
        raise TokenizerError(
            f"{where}: the option {unknown[0]!r} is not known, and ignoring it could "
            f"change the ids. Known are: {', '.join(known) or 'none'}."
        )
    return {name: _option(value, where, name, *known[name]) for name in known}


def kind(value, where):
    """The "type" of a JSON object."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise TokenizerError(
            f"{where}: expected an object with a 'type', found {shown(value)}."
        )
    return value["type"]


def not_supported(where, name, known):
    """The error for a named mechanism that cannot be honoured exactly."""
    return TokenizerError(
        f"{where}: {name!r} cannot be honoured exactly and is refused. Supported are: "
        f"{', '.join(known)}."
    )


def text(value, where):
    """A string that can be written as UTF-8."""
    if not isinstance(value, str):
        raise TokenizerError(f"{where}: expected a string, found {shown(value)}.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise TokenizerError(
            f"{where}: {shown(value)} has half of a surrogate pair and is no text."
        ) from error
    return value


def shown(value):
    """A short form of anything, for error messages."""
    form = repr(value) if not isinstance(value, dict | list) else type(value).__name__
    return form if len(form) <= 80 else form[:77] + "..."


def _option(value, where, name, types, default):
    if name not in value:
        if default is REQUIRED:
            raise TokenizerError(f"{where}: the option {name!r} is missing.")
        return default
    found = value[name]
    allowed = types if isinstance(types, tuple) else (types,)
    # In Python True is an int; in these files it is not.
    mistaken = isinstance(found, bool) and bool not in allowed
    if found is None and default is None:
        return None
    if mistaken or not isinstance(found, allowed):
        names = " or ".join("null" if t is type(None) else t.__name__ for t in allowed)
        raise TokenizerError(f"{where}: {name!r} is {shown(found)}, expected {names}.")
    return text(found, f"{where}: {name!r}") if isinstance(found, str) else found
