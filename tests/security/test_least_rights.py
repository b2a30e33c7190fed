"""`serve` needs few rights in the database (docs/security.md), with which the terms of stakes stay."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.support.native import running_service
from tests.support.service import PASSWORD

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
ROLE = "stakehold_serve"
FORBIDDEN = (
    "UPDATE transfers SET amount_minor = 1",
    "DELETE FROM transfers",
    "DELETE FROM stakes",
    "UPDATE plans SET rate_ppm = 1",
    "INSERT INTO plans SELECT * FROM plans",
    "DELETE FROM users",
    "DELETE FROM ledger_heads",
    "DELETE FROM balances",
    "UPDATE schema_migrations SET checksum = ''",
    "DROP TABLE stakes",
    "ALTER TABLE stakes DISABLE TRIGGER ALL",
    "CREATE TABLE mine (id INT)",
)


def _grants() -> list[str]:
    """The statements that the document tells an operator to run."""
    block = re.search(r"```sql\n(.+?)```", DOCUMENT.read_text(), re.DOTALL)
    assert block is not None
    return [statement.strip() for statement in block[1].split(";") if statement.strip()]


@pytest.fixture
async def url_of_few_rights(database_url: str) -> AsyncIterator[str]:
    """The database's address with the document's user in place of its owner."""
    owner = await asyncpg.connect(database_url)
    try:
        await owner.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'of-the-tests-alone'")
        for statement in _grants():
            await owner.execute(statement)
        parts = urlsplit(database_url)
        host = parts.netloc.rpartition("@")[2]
        yield urlunsplit(parts._replace(netloc=f"{ROLE}:of-the-tests-alone@{host}"))
    finally:
        # Roles belong to the server, not to the database, and so would outlive the test.
        await owner.execute(f"DROP OWNED BY {ROLE}")
        await owner.execute(f"DROP ROLE {ROLE}")
        await owner.close()


async def test_few_rights_are_enough_to_serve(url_of_few_rights: str, redis_url: str) -> None:
    """Every call of the API works, a reused refresh token's punishment included."""
    async with running_service(url_of_few_rights, redis_url) as service:
        person = await service.sign_up("ada")
        stake_id = await person.stake(key="first")
        assert await person.stake(key="first") == stake_id
        await person.stake()
        answers = [
            await person.get("/api/stake"),
            await person.get(f"/api/stake/{stake_id}"),
            await person.get("/api/me"),
            await service.client.get("/api/plans"),
            await service.client.get("/readyz"),
            await service.client.post("/api/auth/refresh", json={"refreshToken": person.refresh_token}),
        ]
        assert [answer.status_code for answer in answers] == [200] * 6
        again = await service.client.post("/api/auth/refresh", json={"refreshToken": person.refresh_token})
        assert again.status_code == 401
        assert (await person.get("/api/me")).status_code == 401
        person = await service.sign_in("ada")
        change = {"currentPassword": PASSWORD, "newPassword": "a long walk on a cold day"}
        assert (await person.post("/api/me/password", json=change)).status_code == 200
        person = await service.sign_in("ada", "a long walk on a cold day")
        assert (await person.post("/api/auth/logout", json={"all": False})).status_code == 204
        person = await service.sign_in("ada", "a long walk on a cold day")
        assert (await person.post("/api/auth/logout", json={"all": True})).status_code == 204


async def test_few_rights_change_no_stake(url_of_few_rights: str) -> None:
    """Whoever got hold of the service's own connection could neither change what was agreed, nor undo it."""
    connection = await asyncpg.connect(url_of_few_rights)
    try:
        allowed = [each for each in FORBIDDEN if not await _is_denied(connection, each)]
    finally:
        await connection.close()
    assert allowed == []


async def _is_denied(connection: asyncpg.Connection, statement: str) -> bool:
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return True
    return False
