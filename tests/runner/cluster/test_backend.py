"""What stands around the leases: checks, documents, ids of folders, the token."""

from __future__ import annotations

import importlib
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import InternalError, connections
from django.test import modify_settings, override_settings

from yourlabs import runner
from yourlabs.runner import conf
from yourlabs.runner.chain.cannot_run import ProblemReporter, down_chain
from yourlabs.runner.chain.task import make_chain
from yourlabs.runner.cluster import rows
from yourlabs.runner.cluster.backend import ClusterBackend
from yourlabs.runner.cluster.checks import check_engine, check_table
from yourlabs.runner.cluster.connection import open_connection
from yourlabs.runner.cluster.keeper import Keeper
from yourlabs.runner.cluster.lease import Lease
from yourlabs.runner.cluster.models import LeaseRow
from yourlabs.runner.cluster.root import identify
from yourlabs.runner.cluster.rules import key_of
from yourlabs.runner.ownership.record import (
    HOSTED,
    Identity,
    OwnerRecord,
    encode_block,
    encode_head,
)
from yourlabs.runner.steer.document import chain_document, state_of
from yourlabs.runner.steer.health import is_expected
from yourlabs.runner.steer.reading import read_chain
from yourlabs.runner.storage.file import FileStore
from yourlabs.runner.testing import eager_chain

CLUSTER = override_settings(RUNNER={"BACKEND": conf.CLUSTER})

tokens: list[int] = []


@runner.task
def note_token() -> None:
    """Remember the token."""
    tokens.append(runner.token())


@runner.task
async def note_token_async() -> None:
    """Remember the token, in another thread."""
    tokens.append(runner.token())


CHAIN = make_chain([note_token.runner_task], name="chain")


def ids(found: list[checks.CheckMessage]) -> list[str]:
    """Return the ids of what was found, and see that each has a hint."""
    assert all(one.hint for one in found)
    return [str(one.id) for one in found]


# The token.


def test_token() -> None:
    """A task is told the number of the ownership, whatever thread it runs in."""
    tokens.clear()
    with eager_chain([note_token, note_token_async]) as chain:
        chain.run(2)

    assert tokens == [1, 1]


def test_token_outside() -> None:
    """Outside of a run there is none."""
    with pytest.raises(RuntimeError, match="outside of a run"):
        runner.token()


# Checks.


@CLUSTER
@pytest.mark.django_db
def test_checks_find_nothing() -> None:
    """A database with the table is fine."""
    assert check_engine() == []
    assert check_table(databases=["default"]) == []


@CLUSTER
@pytest.mark.django_db
def test_missing_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app without its migration is found where the database is looked into."""
    monkeypatch.setattr(LeaseRow._meta, "db_table", "missing")

    assert ids(check_table(databases=["default"])) == ["yourlabs_runner.W027"]
    assert check_table(databases=["other"]) == []
    assert check_table() == []


@CLUSTER
@pytest.mark.django_db
def test_database_without_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that loses what was committed is an error."""
    features = connections["default"].features
    monkeypatch.setattr(features, "supports_transactions", False)

    assert ids(check_table(databases=["default"])) == ["yourlabs_runner.E028"]


@CLUSTER
def test_unknown_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of database that was never tried is an error."""
    monkeypatch.setattr(connections["default"], "vendor", "oracle")

    assert ids(check_engine()) == ["yourlabs_runner.E026"]


def test_checks_of_another_backend() -> None:
    """Without the backend nothing is checked."""
    assert check_engine() == []
    assert check_table(databases=["default"]) == []


@override_settings(RUNNER={"DATABASE": "nowhere"})
def test_unknown_database() -> None:
    """An alias that is not in DATABASES is an error."""
    assert ids(list(conf.problems())) == ["yourlabs_runner.E025"]


@CLUSTER
@modify_settings(INSTALLED_APPS={"remove": conf.CLUSTER})
def test_backend_without_app() -> None:
    """The backend without its app is an error that says so."""
    with pytest.raises(ImproperlyConfigured, match="missing in INSTALLED_APPS"):
        conf.backend()


@pytest.mark.parametrize("chosen", [None, "default", "other"])
def test_migration_of_one_database(
    chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is made in the chosen database alone."""
    module = importlib.import_module("yourlabs.runner.cluster.migrations.0001_initial")
    (operation,) = module.Migration.operations
    databases = ("default", "other")
    other = dict(settings.DATABASES["default"])
    monkeypatch.setitem(settings.DATABASES, "other", other)
    with override_settings(RUNNER={"DATABASE": chosen}):
        made = [
            alias
            for alias in databases
            if operation.allow_migrate_model(alias, LeaseRow)
        ]

    assert made == ([chosen] if chosen else ["default", "other"])


# The id of a folder.


def test_copy_of_a_folder(tmp_path: Path) -> None:
    """A folder keeps its id, and a copy of it has another one."""
    one = identify(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    two = identify(tmp_path / "two")

    assert identify(tmp_path / "one") == one
    assert one.split()[0] == two.split()[0]
    assert one != two


@pytest.mark.parametrize("content", [b"", b"short"])
def test_unusable_id(tmp_path: Path, content: bytes) -> None:
    """An id that a power cut has left half written is made anew."""
    (tmp_path / "cluster.id").write_bytes(content)

    assert identify(tmp_path) == identify(tmp_path)
    assert len((tmp_path / "cluster.id").read_bytes()) == 32


# A database that fails.


@CLUSTER
def test_report_asks_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a chain cannot run is reported without a look into what may hang."""
    asked: list[str] = []
    monkeypatch.setattr(rows, "read", lambda name, _: asked.append(name))
    with override_settings(RUN_ROOT=tmp_path):
        trouble = ProblemReporter(CHAIN, backend := ClusterBackend())
        for problem in ("away", "still away"):
            trouble.report(OSError(problem))
        trouble.close()
        kept = backend.store(down_chain(CHAIN)).load()

    assert [one["failures"] for one in kept["downtimes"].values()] == [2]
    assert asked == []


@CLUSTER
@pytest.mark.django_db(transaction=True)
def test_refused_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that refuses a write does not count as a row that is locked."""

    def refuse(*_: Any, **__: Any) -> None:
        raise InternalError("cannot execute UPDATE in a read-only transaction")

    monkeypatch.setattr(rows, "take", refuse)
    owner = Identity(1, None, "", 0, "host", HOSTED)
    record = OwnerRecord(owner, 1, 0.0, CHAIN.paths)
    keeper, lease = Keeper(), Lease(CHAIN.name, "root", record)
    keeper._leases.append(lease)
    with pytest.raises(InternalError) as caught:
        keeper._look()
    keeper._fail(caught.value)

    assert lease.locked_at is None
    assert "read-only" in str(keeper.problem(patience=0.0))


# Documents.


@CLUSTER
@pytest.mark.django_db(transaction=True)
def test_documents_of_a_reader() -> None:
    """Who has no lease reads the row, and steers through it."""
    backend = ClusterBackend()
    store = backend.store(CHAIN)
    assert (store.load(), store.desired()) == ({}, {})
    store.steer(lambda known: {**known, "wake": 1})
    store.steer(lambda known: {**known, "by": "Zoë"})
    LeaseRow.objects.update(document='{"version": 1, "a": [1]}')

    assert store.desired() == {"wake": 1, "by": "Zoë"}
    assert backend.store(CHAIN).load() == {"a": [1]}
    assert "chain" in backend.names()
    with pytest.raises(ValueError, match="cannot be written"):
        store.steer(lambda _: {"wake": object()})
    LeaseRow.objects.update(document='{"version": 2}')
    assert store.load() == {}
    with pytest.raises(ValueError, match="its version is 2"):
        backend.store(CHAIN).read()
    LeaseRow.objects.update(lease_until=9e9)
    assert not backend.forget("chain")
    LeaseRow.objects.update(lease_until=0)
    assert backend.forget("chain")
    assert backend.store(CHAIN).read() == {}


@CLUSTER
@pytest.mark.django_db
def test_owner_of_a_dead_machine() -> None:
    """An owner whose lease has ended is gone; it did not let go in good order."""
    name, me = CHAIN.name, Identity(1, 2, "another boot", 3, "web2", HOSTED)
    record = encode_block(encode_head(OwnerRecord(me, 7, 0.0, CHAIN.paths)), None)
    rows.make([name])
    found = LeaseRow.objects.filter(pk=key_of(name))
    found.update(record=record.decode().rstrip(), lease_until=time.time() + 12)
    assert chain_document(read_chain(name), 0.0)["owner"]["alive"]
    found.update(lease_until=time.time() - 60)
    reading = read_chain(name)

    assert not reading.lives
    assert reading.seen_at == pytest.approx(time.time() - 75, abs=5)
    assert state_of(reading, 0.0) == (
        "stopped",
        "Its owner, process 1 on web2, is gone, and nobody has taken it over yet.",
    )
    assert is_expected(reading)


@CLUSTER
@pytest.mark.django_db
def test_trouble_is_of_one_machine() -> None:
    """What keeps a chain from running is told from files: it may be the database."""
    assert isinstance(ClusterBackend().store(down_chain(CHAIN)), FileStore)


@pytest.mark.django_db
def test_connection_is_its_own() -> None:
    """The connection is in no pool, and its timeouts are shorter than a lease."""
    theirs: dict[str, Any] = connections["default"].settings_dict
    before = dict(theirs["OPTIONS"])
    connection = open_connection("default")
    try:
        assert connection is not connections["default"]
        assert connection.settings_dict["OPTIONS"]["timeout"] == 3
        assert theirs["OPTIONS"] == before
    finally:
        connection.close()
