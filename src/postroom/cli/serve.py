"""``postroom serve``: the server."""

import typer

from postroom.cli.desk import ConfigOption, Desk, tell_problems, telling_troubles
from postroom.config.load import examine, find


def serve(context: typer.Context, config: ConfigOption = None) -> None:
    """Run the server. SIGTERM drains and ends it, SIGHUP reloads settings and certificates."""
    with telling_troubles():
        path = find(config)
        examined = examine(path)
        tell_problems((*examined.problems, *examined.warnings))
        if examined.settings is None:
            raise typer.Exit(1)
        code = Desk.of(context).house.serve(examined.settings, path)
    raise typer.Exit(code)
