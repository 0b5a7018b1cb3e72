"""Groups of options: what Typer and a verb see of them."""

import dataclasses
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from zoo.cli.groups import with_groups


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    width: Annotated[int, typer.Option(help="Of a box.")]
    height: Annotated[int | None, typer.Option("--tall")] = None


@pytest.fixture
def call():
    app = typer.Typer()

    @app.command()
    @with_groups
    def box(name: str, *, size: Size, heavy: bool = False):
        """Show a box."""
        typer.echo(f"{name} {size} {heavy}")

    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_fields_are_options_where_the_group_stands(call):
    said = call("--help").output
    assert "Show a box." in said and "Of a box." in said
    assert said.index("--width") < said.index("--tall") < said.index("--heavy")


def test_the_verb_gets_an_instance(call):
    assert call("a", "--width", "3").output == "a Size(width=3, height=None) False\n"
    said = call("a", "--width", "3", "--tall", "4", "--heavy").output
    assert said == "a Size(width=3, height=4) True\n"


def test_a_field_without_a_default_is_required(call):
    found = call("a")
    assert found.exit_code == 2 and "--width" in found.output
