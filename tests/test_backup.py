"""Back-up and restore: what was answered before a back-up began is there after it was restored elsewhere."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from milepost import embedded
from milepost.backup import BackupError, back_up, restore
from milepost.migrate import MigrationError, migrate
from milepost.settings import Settings
from tests.harness import ADMIN_TOKEN, Org, Service, assert_rebuilt, contents

MILESTONE = {
    "name": "Milestone",
    "trackingType": "DEFAULT",
    "frequencyType": "MONTHLY",
    "frequency": 1,
    "recurringCycles": 3,
    "totalPeriods": 3,
    "targets": [
        {
            "name": "Milestone",
            "targetEntity": "TRANSACTION",
            "targetType": "SALES",
            "defaultValues": [{"defaultValue": 10}],
            "rewards": [{"name": "Voucher", "type": "POINTS", "value": 5}],
        }
    ],
}


@pytest.fixture(scope="module")
def shop_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database of a server of its own, so that the restored one is on another server in any case."""
    with embedded.start(tmp_path_factory.mktemp("shop") / "pg") as postgres:
        migrate(postgres.url)
        yield postgres.url


@pytest.fixture(scope="module")
def fresh_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The empty database of a server that has never seen Milepost, nor its roles."""
    with embedded.start(tmp_path_factory.mktemp("fresh") / "pg") as postgres:
        yield postgres.url


class Till:
    """A busy till: registers, enrols and sells, and remembers what it was answered."""

    def __init__(self, org: Org, group: int, target: int) -> None:
        self.org, self.group, self.target = org, group, target
        self.acknowledged: list[tuple[int, str]] = []
        self.stop = threading.Event()

    def sell(self) -> None:
        customer = self.org.register()
        assert self.org.enrol(self.group, self.target, customer).status_code == 200
        sale = {
            "id": f"tx-{customer}",
            "customerId": customer,
            "type": "TRANSACTION",
            "occurredAt": "2026-06-01T00:00:00Z",
            "netAmount": 12,
        }
        (result,) = self.org.post("/milepost/v1/activities", [sale]).json()["data"]
        assert result["status"] == "ACCEPTED"
        self.acknowledged.append((customer, sale["id"]))  # type: ignore[arg-type]

    def go_on(self) -> None:
        while not self.stop.is_set():
            self.sell()


def test_a_backup_of_a_busy_service_restores_on_a_fresh_server_with_all_that_was_answered(
    shop_url: str, fresh_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "milepost.backup"
    with Service(Settings(database_url=shop_url, admin_token=ADMIN_TOKEN)) as service:
        org = service.new_org()
        defined = org.define(**MILESTONE)
        till = Till(org, defined["id"], defined["targets"][0]["id"])
        for _ in range(5):
            till.sell()
        busy = threading.Thread(target=till.go_on)
        busy.start()
        answered = list(till.acknowledged)
        size_bytes = back_up(shop_url, file)
        till.stop.set()
        busy.join()
    assert size_bytes == file.stat().st_size
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [file.name]

    assert restore(fresh_url, file) == []
    assert_rebuilt(fresh_url)
    with psycopg.connect(fresh_url) as connection:
        kept = connection.execute("SELECT customer_id, activity_id FROM activities").fetchall()
        rewarded = connection.execute("SELECT customer_id FROM rewards").fetchall()
    assert set(answered) <= set(kept)
    assert {customer for customer, _ in answered} <= {customer for (customer,) in rewarded}
    # And it is a database to go on with, behind row-level security.
    with Service(Settings(database_url=fresh_url, admin_token=ADMIN_TOKEN)) as service:
        moved = Org(
            org.id, service.connect(auth=(org.username, org.password)), org.username, org.password
        )
        customer = answered[0][0]
        again = moved.get(f"/milepost/v1/customers/{customer}/rewards").json()["data"]
        assert [reward["value"] for reward in again] == [5]
        assert moved.enrol(till.group, till.target, customer).json()["errors"][0]["code"] == 310119
        Till(moved, till.group, till.target).sell()


def test_what_is_there_already_is_never_overwritten(shop_url: str, tmp_path: Path) -> None:
    file = tmp_path / "milepost.backup"
    file.write_text("mine")
    with pytest.raises(BackupError, match="exists already"):
        back_up(shop_url, file)
    assert file.read_text() == "mine"
    file.unlink()
    back_up(shop_url, file)
    before = contents(shop_url)
    with pytest.raises(BackupError, match="not empty"):
        restore(shop_url, file)
    assert contents(shop_url) == before


def test_a_file_that_is_no_backup_leaves_the_database_empty(
    shop_url: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with psycopg.connect(shop_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE empty")
    empty = psycopg.conninfo.make_conninfo(shop_url, dbname="empty")
    whole = tmp_path / "whole"
    back_up(shop_url, whole)
    broken = tmp_path / "broken"
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("nonsense")
    for file, complaint in (
        (broken, "pg_restore fails"),
        (nonsense, "pg_restore fails"),
        (tmp_path / "none", "no file"),
    ):
        with pytest.raises(BackupError, match=complaint):
            restore(empty, file)
        assert contents_or_nothing(empty) == {}


def contents_or_nothing(url: str) -> dict[str, tuple[int, str]]:
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT FROM pg_tables WHERE schemaname = 'public'")
        if not tables.rowcount:
            return {}
    return contents(url)


def test_a_backup_of_a_newer_release_is_refused(shop_url: str, tmp_path: Path) -> None:
    file = tmp_path / "newer"
    with psycopg.connect(shop_url, autocommit=True) as connection:
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchall()[0]
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        back_up(shop_url, file)
        connection.execute("UPDATE alembic_version SET version_num = %s", (revision,))
        connection.execute("CREATE DATABASE newer")
    with pytest.raises(MigrationError, match="9999"):
        restore(psycopg.conninfo.make_conninfo(shop_url, dbname="newer"), file)


def test_a_folder_that_cannot_be_written_and_a_server_that_is_away_are_said(
    shop_url: str, tmp_path: Path
) -> None:
    with pytest.raises(BackupError, match="cannot write"):
        back_up(shop_url, tmp_path / "none" / "file")
    with pytest.raises(BackupError, match="cannot reach") as caught:
        back_up("postgresql://x:secret@127.0.0.1:1/x", tmp_path / "file")
    assert "secret" not in str(caught.value)
