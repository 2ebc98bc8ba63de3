"""`samjax compare`, the same as `python -m samjax.comparison`."""

from samjax.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    """Adds what the command takes."""
    from samjax.comparison import cli

    cli.add_arguments(parser)
