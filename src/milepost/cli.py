"""The command `milepost`: serve, migrate, org, openapi, errors."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer

from milepost import embedded, server
from milepost.actions import demo, orgs
from milepost.api import operator, wire
from milepost.api.app import create_litestar
from milepost.api.openapi import render
from milepost.database import database
from milepost.errors import Refusal, render_page
from milepost.migrate import MigrationError
from milepost.migrate import migrate as migrate_database
from milepost.runner import Runner
from milepost.settings import SettingError, Settings, load

T = TypeVar("T")

app = typer.Typer(
    name="milepost",
    help="A self-hosted loyalty engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

org = typer.Typer(help="Organisations.", no_args_is_help=True)
app.add_typer(org, name="org")

Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of the embedded database and the admin token.")
]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database-url", help="A PostgreSQL 15 or newer instead.")
]


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0: any free one.")] = None,
    data: Data = None,
    database_url: DatabaseUrl = None,
    workers: Annotated[int | None, typer.Option(help="Processes that answer requests.")] = None,
    demo: Annotated[bool | None, typer.Option("--demo", help="Make the demo data.")] = None,
) -> None:
    """Migrate, then answer requests until SIGTERM or Ctrl-C."""
    settings = _settings(
        host=host,
        port=port,
        data_dir=data,
        database_url=database_url,
        workers=workers,
        demo=demo,
    )
    try:
        server.serve(settings, typer.echo, _prepare)
    except (server.ServeError, embedded.EmbeddedPostgresError, MigrationError) as error:
        _fail(str(error))


@app.command()
def migrate(data: Data = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database to the newest schema; beside a running service too."""
    settings = _settings(data_dir=data, database_url=database_url)
    with _database(settings) as url:
        applied = migrate_database(url)
    for revision in applied:
        typer.echo(f"Migrated the database to {revision}.")
    if not applied:
        typer.echo("The database is at the newest schema.")


@org.command("create")
def create_org(
    name: Annotated[str, typer.Argument(help="The organisation's name.")],
    time_zone: Annotated[str, typer.Option(help="IANA name.")] = "UTC",
    sandbox: Annotated[
        bool | None, typer.Option("--sandbox", help="With a clock of its own.")
    ] = None,
    now: Annotated[str | None, typer.Option(help="The sandbox clock's first instant.")] = None,
    parent: Annotated[int | None, typer.Option(help="Id of the connected parent.")] = None,
    data: Data = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make an organisation and print its first credentials, which are shown this once."""
    settings = _settings(data_dir=data, database_url=database_url)
    draft = orgs.OrgDraft(name, time_zone, parent, sandbox, now)
    with _database(settings) as url:
        migrate_database(url)
        made = _run(url, settings, lambda runner: orgs.create_org(runner, draft))
    if isinstance(made, Refusal):
        _fail(made.message)
    typer.echo(wire.encode(operator.created_view(made)).decode())


@app.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    typer.echo(render(create_litestar(Settings())).decode(), nl=False)


@app.command()
def errors() -> None:
    """Print the error catalogue as a page of the documentation."""
    typer.echo(render_page(), nl=False)


def main() -> None:
    """The entry point of the package."""
    app()


def _settings(**given: object) -> Settings:
    try:
        return load(os.environ, **given)
    except SettingError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    typer.echo(f"milepost: {message}", err=True)
    raise typer.Exit(1)


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """The URL of the database: of a running service's embedded one, or of one run for this command."""
    try:
        if not settings.embedded:
            yield settings.database_url
        elif running := embedded.running_url(settings.data_dir / "pg"):
            yield running
        else:
            with embedded.start(settings.data_dir / "pg") as postgres:
                yield postgres.url
    except (embedded.EmbeddedPostgresError, MigrationError) as error:
        _fail(str(error))


def _prepare(settings: Settings) -> None:
    """Before a service answers: the demo data, and the lines to paste."""
    if not settings.demo:
        return
    _run(settings.database_url, settings, lambda runner: demo.make_demo(runner, settings))
    path = f"targetGroups/{demo.GROUP_ID}/targets/{demo.TARGET_ID}/enroll"
    typer.echo(
        f"""Demo organisation: till {demo.TILL}, password {demo.PASSWORD}. Once it is ready, try:

  curl -u {demo.TILL}:{demo.PASSWORD} http://{settings.host}:{settings.port}/v3/{path} \\
    -d '[{{"customerId": 345651201, "periodName": "PERIOD_G_{demo.GROUP_ID}_1", "initialBalance": 100}}]'
  curl -u {demo.TILL}:{demo.PASSWORD} \\
    http://{settings.host}:{settings.port}/milepost/v1/customers/345651201/explanation

The reference of the API is at http://{settings.host}:{settings.port}/docs.
"""
    )


def _run(url: str, settings: Settings, work: Callable[[Runner], Awaitable[T]]) -> T:
    """Run `work` on the database at `url`."""

    async def run() -> T:
        runner = Runner(database(url, settings))
        await runner.database.open()
        try:
            return await work(runner)
        finally:
            await runner.database.close()

    return asyncio.run(run())
