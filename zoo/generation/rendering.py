"""A process that renders chat templates, which are programs by strangers.

`zoo.generation.chat` starts this file with a job on its standard input. A template can
loop for ever or ask for all memory, and nothing inside a Python process stops that for
certain: here the system's own limits do. jinja2's sandbox keeps it from everything but
the values that it is given. This file imports nothing of zoo, so that it starts fast.
"""

import datetime
import json
import resource
import sys

import jinja2
import jinja2.ext
import jinja2.sandbox

TOO_LARGE = "it needs more memory than a template is given"


class Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """What templates can reach. An attribute that is not safe is refused when named."""

    def unsafe_undefined(self, obj, attribute):
        raise jinja2.exceptions.SecurityError(
            f"it reaches for {attribute!r} of {type(obj).__name__}, which templates "
            "may not see"
        )


class Generation(jinja2.ext.Extension):
    """{% generation %} marks what an assistant says; it is shown as it stands."""

    tags = {"generation"}  # noqa: RUF012 (jinja2 declares it so)

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


class Namespace(jinja2.utils.Namespace):
    """jinja2's, but names that begin with an underscore cannot be set."""

    def __setitem__(self, name, value):
        if str(name).startswith("_"):
            raise jinja2.exceptions.SecurityError(f"it sets {name!r} of a namespace")
        super().__setitem__(name, value)


def new_dict(*args, **kwargs):
    return dict(*args, **kwargs)


def new_namespace(*args, **kwargs):
    made = Namespace()
    for name, value in dict(*args, **kwargs).items():
        made[name] = value
    return made


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def strftime_now(form):
    return datetime.datetime.now().strftime(form)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    """JSON as it is: jinja2's own filter escapes what is special in HTML."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def environment():
    """The one that Hugging Face's templates are written for."""
    made = Sandbox(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[Generation, jinja2.ext.loopcontrols],
    )
    made.filters["tojson"] = tojson
    made.globals |= {
        "raise_exception": raise_exception,
        "strftime_now": strftime_now,
        "dict": new_dict,
        "namespace": new_namespace,
    }
    return made


def render(template, variables, *, longest):
    """What a template makes of variables: {"text": ...} or {"error": ...}."""
    try:
        parts, length = [], 0
        for part in template.generate(**variables):
            parts.append(part)
            length += len(part)
            if length > longest:
                return {"error": f"it writes more than {longest:,} characters"}
        return {"text": "".join(parts)}
    except jinja2.exceptions.SecurityError as error:
        return {"error": f"it is refused: {error}"}
    except jinja2.exceptions.UndefinedError as error:
        return {"error": f"it asks for what is not there: {error}"}
    except jinja2.exceptions.TemplateError as error:
        return {"error": f"it says: {error.message or error}"}
    except MemoryError:
        return {"error": TOO_LARGE}
    except RecursionError:
        return {"error": "it calls itself without end"}
    except Exception as error:
        return {"error": f"it fails with {type(error).__name__}: {error}"}


def answers(source, jobs, *, longest):
    """The result of each job, which is a dictionary of variables."""
    try:
        template = environment().from_string(source)
    except jinja2.exceptions.TemplateSyntaxError as error:
        failed = {"error": f"line {error.lineno} is not Jinja: {error.message}"}
    except jinja2.exceptions.SecurityError as error:
        failed = {"error": f"it is refused: {error}"}
    except MemoryError:
        failed = {"error": TOO_LARGE}
    except (RecursionError, SyntaxError, ValueError, OverflowError) as error:
        failed = {"error": f"it cannot be compiled ({type(error).__name__}: {error})"}
    else:
        return [render(template, variables, longest=longest) for variables in jobs]
    return [failed] * len(jobs)


def main():
    given = json.load(sys.stdin)
    limits = (
        (resource.RLIMIT_AS, given["memory"]),
        (resource.RLIMIT_CPU, given["seconds"]),
        (resource.RLIMIT_CORE, 0),
    )
    for what, limit in limits:
        resource.setrlimit(what, (limit, limit))
    found = answers(given["template"], given["jobs"], longest=given["longest"])
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
