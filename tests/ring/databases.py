"""One database of a ring as its operator sees it, and the people whose keys are on it."""

import asyncio
import os
import re
import secrets
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import hiredis
import jwt

from stakehold.redis.port import Redis
from stakehold.redis.ring import Ring
from stakehold.runtime.embedded import EmbeddedValkey
from stakehold.runtime.settings import load_settings
from tests.support.native import JWT_SECRET
from tests.support.service import Person, Service

_TIMEOUT_S = 10.0
_TAG = re.compile(rb"sh\d+:\{([^}]+)\}:")


@dataclass
class Seen:
    """What a database was asked by others than the test: every key's epoch, and every subject."""

    commands: list[bytes] = field(default_factory=list)

    @property
    def tags(self) -> set[str]:
        return {tag.decode() for command in self.commands for tag in _TAG.findall(command)}

    @property
    def epochs(self) -> set[int]:
        return {int(epoch) for command in self.commands for epoch in re.findall(rb'"sh(\d+):', command)}

    @property
    def key_ends(self) -> set[str]:
        """What comes after the subject in the keys: `stakes`, `stakes:marks`, `limit:global` …"""
        ends = (re.findall(rb'sh\d+:\{[^}]+\}:([a-z:-]+)"', command) for command in self.commands)
        return {end.decode() for found in ends for end in found}


class RingDatabase:
    """One Valkey of the ring."""

    def __init__(self, server: EmbeddedValkey) -> None:
        self.server = server
        self._frozen = False

    @property
    def url(self) -> str:
        return self.server.url

    def ask(self, *command: str) -> Any:
        """What it answers, over a connection of its own."""
        with self._connection() as connection:
            return _reply(connection, hiredis.Reader(), command)

    def kept(self) -> set[str]:
        return {key.decode() for key in self.ask("KEYS", "*")}

    def tags(self) -> set[str]:
        """The subjects it keeps anything of."""
        return {match[1].decode() for key in self.kept() if (match := _TAG.match(key.encode()))}

    def trips(self) -> int:
        """How many scripts it was asked to run since the server's start."""
        found = re.search(rb"cmdstat_evalsha:calls=(\d+)", self.ask("INFO", "commandstats"))
        return int(found[1]) if found else 0

    @contextmanager
    def watched(self) -> Iterator[Seen]:
        """Everything it is asked meanwhile, scripts' own calls included."""
        seen, nonce = Seen(), secrets.token_hex(16)
        with self._connection() as connection:
            reader = hiredis.Reader()
            assert _reply(connection, reader, ("MONITOR",)) == b"OK"
            yield seen
            self.ask("ECHO", nonce)
            while not (seen.commands and nonce.encode() in seen.commands[-1]):
                seen.commands.append(_read(connection, reader))

    def freeze(self) -> None:
        """Let it answer nothing, its connections open."""
        assert self.server.process is not None
        os.kill(self.server.process.pid, signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """Let a frozen one go on."""
        if self._frozen:
            assert self.server.process is not None
            os.kill(self.server.process.pid, signal.SIGCONT)
            self._frozen = False

    @contextmanager
    def _connection(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.server.port), _TIMEOUT_S) as connection:
            assert _reply(connection, hiredis.Reader(), ("AUTH", self.server.password)) == b"OK"
            yield connection


def _reply(connection: socket.socket, reader: hiredis.Reader, command: Sequence[str]) -> Any:
    connection.sendall(hiredis.pack_command(tuple(command)))
    return _read(connection, reader)


def _read(connection: socket.socket, reader: hiredis.Reader) -> Any:
    while (reply := reader.gets()) is False:
        data = connection.recv(65536)
        assert data, "the database closed the connection"
        reader.feed(data)
    assert not isinstance(reply, hiredis.ReplyError), reply
    return reply


def ring_settings(databases: Sequence[RingDatabase], epoch: int = 0, **settings: str) -> dict[str, str]:
    """What the environment says of a ring of these."""
    urls = " ".join(database.url for database in databases)
    return {"REDIS_URL": urls, "STAKEHOLD_RING_EPOCH": str(epoch), **settings}


class Places:
    """Which of the listed databases has a subject's keys, by the settings the service reads."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        addresses = load_settings({"JWT_SECRET": JWT_SECRET, **settings}, production=False).redis
        members = [cast(Redis, object()) for _ in addresses]
        self._ring = Ring(members, [address.name for address in addresses])
        self._numbers = {id(member): number for number, member in enumerate(members)}

    def of(self, tag: str) -> int:
        return self._numbers[id(self._ring.member_for(tag))]

    def of_person(self, person: Person) -> int:
        return self.of(user_tag(person))


def user_tag(person: Person) -> str:
    """The subject that a person's requests are charged to."""
    return f"u:{jwt.decode(person.token, options={'verify_signature': False})['sub']}"


async def one_on_each(service: Service, places: Places, count: int = 3) -> list[Person]:
    """A user on each of the ring's databases, in their order."""
    found: dict[int, Person] = {}
    for _ in range(200):
        person = await service.enrol()
        found.setdefault(places.of_person(person), person)
        if len(found) == count:
            return [found[number] for number in range(count)]
    raise AssertionError(f"200 users, and only on {sorted(found)}")


async def until_cached(person: Person) -> dict[str, Any]:
    """The first page of the stakes, once it is stored: that happens behind the answer."""
    async with asyncio.timeout(_TIMEOUT_S):
        while not (page := await person.list_stakes())["fromCache"]:
            await asyncio.sleep(0.005)
    return page
