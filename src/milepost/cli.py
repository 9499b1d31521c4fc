"""The command `milepost`: serve, migrate, distribute, org, import, rebuild, doctor, backup, restore, openapi,
errors.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from milepost import embedded, server
from milepost.actions import demo, orgs
from milepost.actions.rebuild import rebuild as rebuild_database
from milepost.api import operator, wire
from milepost.api.activity_bodies import Unreadable, decode_activity
from milepost.api.app import create_litestar
from milepost.api.openapi import render
from milepost.backup import BackupError, back_up
from milepost.backup import restore as restore_database
from milepost.database import DatabaseUnavailable, database
from milepost.distribution import SHARDS, DistributionError
from milepost.distribution import distribute as distribute_database
from milepost.doctor import examine
from milepost.errors import Refusal
from milepost.errors_page import render_page
from milepost.imports.kinds import CUSTOMERS, ENROLMENTS, Kind, activities
from milepost.imports.lines import UnreadableFile
from milepost.imports.running import ImportStopped, Standing, import_file, results_path
from milepost.migrate import MigrationError
from milepost.migrate import migrate as migrate_database
from milepost.rules.activities import Activity
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
    except (
        server.ServeError,
        SettingError,
        embedded.EmbeddedPostgresError,
        MigrationError,
    ) as error:
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


@app.command()
def distribute(
    dry_run: Annotated[
        bool | None, typer.Option("--dry-run", help="Only print the statements; change nothing.")
    ] = None,
    shards: Annotated[
        int, typer.Option(min=1, max=1024, help="Parts that the customers are divided into.")
    ] = SHARDS,
    database_url: DatabaseUrl = None,
) -> None:
    """Turn a migrated database with the Citus extension into reference and distributed tables.

    Prints each statement. While no service runs; run it again after an interruption, and it goes on.
    """
    settings = _settings(database_url=database_url)
    if settings.embedded:
        _fail("the embedded PostgreSQL has no Citus: give the coordinator's --database-url")
    statements = distribute_database(settings.database_url, shards=shards, dry_run=bool(dry_run))
    done = 0
    try:
        for done, statement in enumerate(statements, 1):  # noqa: B007 - counted
            typer.echo(f"{statement};")
    except DistributionError as error:
        _fail(str(error))
    if not done:
        typer.echo("-- The database is distributed: there is nothing to do.")


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
def rebuild(
    check: Annotated[
        bool | None, typer.Option("--check", help="Only list what differs; change nothing.")
    ] = None,
    org_id: Annotated[int | None, typer.Option("--org", help="Of one organisation only.")] = None,
    data: Data = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Recompute progress, streaks and rewards from the journal; exit with 1 if any difference is left.

    Lists what differs from what is stored, a line each; without --check, progress and streak levels
    are then repaired. Works beside a running service.
    """
    settings = _settings(data_dir=data, database_url=database_url)
    with _database(settings) as url:
        migrate_database(url)
        summary = _run(
            url,
            settings,
            lambda runner: rebuild_database(runner, typer.echo, org_id=org_id, repair=not check),
        )
    if summary is None:
        _fail(f"there is no organisation {org_id}")
    typer.echo(
        f"Customers compared: {summary.customers:,}; differences: {summary.differences:,}; "
        f"left: {summary.left:,}."
    )
    if summary.left:
        raise typer.Exit(1)


@app.command()
def doctor(data: Data = None, database_url: DatabaseUrl = None) -> None:
    """Look at settings, files, database, clock and due work; exit with 1 if there is a problem.

    Changes nothing. Works beside a running service, and without one.
    """
    settings = _settings(data_dir=data, database_url=database_url)
    levels = set()
    for finding in examine(settings, os.environ, lambda: _open_database(settings)):
        levels.add(finding.level)
        typer.echo(finding)
    if "problem" in levels:
        raise typer.Exit(1)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="A new file.")],
    data: Data = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write the whole database to a new FILE, beside a running service too."""
    settings = _settings(data_dir=data, database_url=database_url)
    with _database(settings) as url:
        try:
            size_bytes = back_up(url, file)
        except BackupError as error:
            _fail(str(error))
    typer.echo(f"Backed up to {file}: {size_bytes:,} bytes.")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What milepost backup wrote.")],
    data: Data = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Restore FILE into a new data folder, or an empty database; all of it or nothing."""
    settings = _settings(data_dir=data, database_url=database_url)
    with _database(settings) as url:
        try:
            applied = restore_database(url, file)
        except (BackupError, MigrationError) as error:
            _fail(str(error))
    for revision in applied:
        typer.echo(f"Migrated the database to {revision}.")
    typer.echo(f"Restored {file}. Now: milepost rebuild --check")


class ImportKind(StrEnum):
    """What the rows of a file are."""

    customers = "customers"
    enrolments = "enrolments"
    activities = "activities"


@app.command("import")
def import_rows(
    kind: Annotated[ImportKind, typer.Argument(help="What the rows are.")],
    file: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, readable=True, help="NDJSON, or CSV."),
    ],
    org_id: Annotated[
        int, typer.Option("--org", min=1, max=2**63 - 1, help="Id of the organisation.")
    ],
    anew: Annotated[
        bool | None,
        typer.Option("--again", help="Try rows again that this file had accepted before."),
    ] = None,
    data: Data = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Import the rows of FILE, beside a running service too; results go to FILE.results.ndjson.

    Run the same command again after an interruption: it goes on, and does no row twice.
    """
    settings = _settings(data_dir=data, database_url=database_url)
    try:
        with _database(settings) as url, _progress(file) as tell:
            migrate_database(url)
            done = _run(
                url,
                settings,
                lambda runner: import_file(
                    runner, org_id, _kind(kind), file, tell, anew=bool(anew)
                ),
            )
    except UnreadableFile as error:
        _fail(str(error), 2)
    except ImportStopped as error:
        _fail(f"{error}. What is done stays done: run the same command again to go on.")
    except DatabaseUnavailable as error:
        _fail(f"the database cannot be reached ({error}): run the same command again to go on.")
    typer.echo(
        f"Imported {file}: {done.accepted:,} accepted, {done.duplicates:,} duplicates, "
        f"{done.rejected:,} rejected. Results: {results_path(file)}"
    )


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


def _fail(message: str, status: int = 1) -> NoReturn:
    typer.echo(f"milepost: {message}", err=True)
    raise typer.Exit(status)


def _kind(kind: ImportKind) -> Kind:
    def decode(content: bytes) -> Activity | Refusal:
        found = decode_activity(content)
        return found.refusal if isinstance(found, Unreadable) else found

    known = {ImportKind.customers: CUSTOMERS, ImportKind.enrolments: ENROLMENTS}
    return known.get(kind) or activities(decode)


@contextmanager
def _progress(file: Path) -> Iterator[Callable[[Standing], None]]:
    """Shows how far an import is: a bar on a terminal, else a line for each tenth of the file."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _tell_tenths()
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(file.name, total=None, rows=0)
        yield lambda standing: bar.update(
            task, total=standing.size_bytes, completed=standing.done_bytes, rows=standing.rows
        )


def _tell_tenths() -> Callable[[Standing], None]:
    told = 0

    def tell(standing: Standing) -> None:
        nonlocal told
        tenth = standing.done_bytes * 10 // max(1, standing.size_bytes)
        if standing.resumed:
            typer.echo(f"Going on behind {standing.rows:,} rows.", err=True)
        elif tenth > told:
            typer.echo(f"{tenth * 10} %: {standing.rows:,} rows", err=True)
        told = tenth

    return tell


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """The URL of the database: of a running service's embedded one, or of one run for this command."""
    try:
        with _open_database(settings) as url:
            yield url
    except (embedded.EmbeddedPostgresError, MigrationError) as error:
        _fail(str(error))


@contextmanager
def _open_database(settings: Settings) -> Iterator[str]:
    if not settings.embedded:
        yield settings.database_url
    elif running := embedded.running_url(settings.data_dir / "pg"):
        yield running
    else:
        with embedded.start(settings.data_dir / "pg") as postgres:
            yield postgres.url


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
