"""The command line: `stakehold dev | serve | migrate | users | plans | ledger | settle | webhooks …`."""

import argparse
import asyncio
import dataclasses
import functools
import getpass
import os
import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence

from stakehold.commands import arguments, ledger, plans, settle, webhooks
from stakehold.commands.actions import Actions, CarryOut, Work
from stakehold.database import users
from stakehold.database.migrate import MigrationError, migrate, pending_at
from stakehold.domain.accounts import ADMIN, Scope
from stakehold.domain.errors import StakeholdError
from stakehold.domain.ports import Deadline
from stakehold.domain.timestamps import rfc3339
from stakehold.runtime.container import NativeContainer, build_container, close_container
from stakehold.runtime.dev import DevError, run_dev, with_running_dev
from stakehold.runtime.doctor import examine
from stakehold.runtime.dotenv import DotenvError
from stakehold.runtime.embedded_server import EmbeddedServerError
from stakehold.runtime.outside import SystemClock, SystemEntropy
from stakehold.runtime.serve import run_serve
from stakehold.runtime.settings import Settings, SettingsError, load_settings
from stakehold.runtime.supervisor import PortBusyError
from stakehold.services.accounts import add_user, checked_credentials, set_user_scope, set_user_status
from stakehold.services.context import Services

_COMMAND_TIMEOUT_S = 30.0
_USERS_A_TIME = 500


class CommandError(Exception):
    """A command cannot be carried out; the message says why."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out a command and end the process with its status."""
    options = _parser().parse_args(arguments)
    try:
        status = options.run(options)
    except SettingsError as error:
        status = _complain("The settings are not right:", *(f"  {problem}" for problem in error.problems))
    except StakeholdError as error:
        status = _complain(error.detail, *(f"  {field.detail}" for field in error.fields))
    except (
        CommandError,
        DevError,
        DotenvError,
        EmbeddedServerError,
        MigrationError,
        PortBusyError,
        OSError,
    ) as error:
        status = _complain(str(error) or type(error).__name__)
    except (KeyboardInterrupt, EOFError):
        # Ctrl-C, or Ctrl-D where a password was asked for.
        status = 130
    sys.exit(status)


def _complain(*lines: str) -> int:
    print("stakehold:", *lines, sep="\n" if len(lines) > 1 else " ", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stakehold", description="A staking service.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=summary, description=summary)
        command.set_defaults(run=run)
        return command

    add(
        "dev", lambda _: run_dev(os.environ), "Serve on this machine, with stores and a demo user of its own."
    )
    add("serve", lambda _: run_serve(os.environ), "Serve in production, with settings from the environment.")
    add("migrate", _migrate, "Bring the database to this version.").add_argument(
        "--check", action="store_true", help="change nothing; fail if there is something to do"
    )
    add("doctor", _doctor, "Check what the service rests on, and say what to do.")
    for name, register, summary in (
        ("users", _register_users, "Look after users."),
        ("ledger", ledger.register, "Check the books, and put balances right."),
        ("settle", settle.register, "Pay out or renew every stake whose time has come."),
        ("plans", plans.register, "Look after the plans that are on sale."),
        ("webhooks", webhooks.register, "Look after the events that are sent to the webhook."),
    ):
        register(commands.add_parser(name, help=summary, description=summary), _with_container)
    return parser


def _register_users(command: argparse.ArgumentParser, carry_out: CarryOut) -> None:
    actions = Actions(command, carry_out)
    for name, work, summary in (
        ("add", _users_add, "Make a user; the password is asked for, or read from standard input."),
        ("disable", _users_disable, "Refuse a user from the next request on."),
        ("enable", _users_enable, "Let a disabled user in again."),
        ("grant", _users_grant, "Make a user an operator; their sessions end, and they sign in again."),
        ("revoke", _users_revoke, "Let a user be an operator no longer, from the next request on."),
    ):
        action = actions.add(name, work, summary)
        action.add_argument("username", type=arguments.username)
        if name in ("grant", "revoke"):
            action.add_argument("scope", choices=[ADMIN])
    actions.add("list", lambda _: _users_list, "Show users by name.")


def _environ() -> Mapping[str, str]:
    return with_running_dev(os.environ)


def _migrate(options: argparse.Namespace) -> int:
    settings = _settings()
    if options.check:
        missing = asyncio.run(pending_at(settings.database_url))
        print("\n".join(f"not applied: {name}" for name in missing) or "up to date")
        return 1 if missing else 0
    applied = asyncio.run(migrate(settings.database_url, clock=SystemClock(), entropy=SystemEntropy()))
    print("\n".join(f"applied {name}" for name in applied) or "nothing to do")
    return 0


def _doctor(_: argparse.Namespace) -> int:
    async def run() -> int:
        failures = 0
        async for finding in examine(_environ(), clock=SystemClock(), entropy=SystemEntropy()):
            print(finding, flush=True)
            failures += finding.level == "fail"
        return 1 if failures else 0

    return asyncio.run(run())


def _users_add(options: argparse.Namespace) -> Work:
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise CommandError("The two passwords differ.")
    else:
        try:
            password = sys.stdin.readline().rstrip("\n")
        except UnicodeDecodeError:
            raise CommandError("The password is not valid Unicode.") from None
    username, password = checked_credentials(options.username, password)

    async def add(container: NativeContainer, deadline: Deadline) -> int:
        made = await add_user(container.services, username, password, deadline)
        print(f"added {made.username} {made.id}")
        return 0

    return add


def _users_disable(options: argparse.Namespace) -> Work:
    return _set_status(options.username, "disabled")


def _users_enable(options: argparse.Namespace) -> Work:
    return _set_status(options.username, "active")


def _set_status(username: str, status: users.Status) -> Work:
    return _change_user(
        lambda services, deadline: set_user_status(services, username, status, deadline),
        f"{username} is {status}",
    )


def _users_grant(options: argparse.Namespace) -> Work:
    return _set_scope(options.username, options.scope, f"{options.username} has {options.scope}")


def _users_revoke(options: argparse.Namespace) -> Work:
    return _set_scope(options.username, "", f"{options.username} has no {options.scope}")


def _set_scope(username: str, scope: Scope, done: str) -> Work:
    return _change_user(lambda services, deadline: set_user_scope(services, username, scope, deadline), done)


def _change_user(change: Callable[[Services, Deadline], Awaitable[None]], done: str) -> Work:
    async def work(container: NativeContainer, deadline: Deadline) -> int:
        await change(container.services, deadline)
        print(done)
        if container.services.gate.state == "down":
            return _complain(
                "Redis was away: what it has cached may hold for up to 20 minutes. Run this again."
            )
        return 0

    return work


async def _users_list(container: NativeContainer, deadline: Deadline) -> int:
    after: str | None = None
    while True:
        read = functools.partial(users.list_users, after=after, limit=_USERS_A_TIME)
        found = await container.services.read(read, deadline)
        for user in found:
            made = rfc3339(user.created_at_ms)
            print(user.id, user.status, made, user.username, user.scope or "-", sep="\t")
        if len(found) < _USERS_A_TIME:
            return 0
        after = found[-1].username


def _settings() -> Settings:
    settings = load_settings(_environ(), production=False)
    if not settings.database_url:
        raise CommandError("DATABASE_URL is not set, and no `stakehold dev` runs here.")
    return settings


def _with_container(work: Work) -> int:
    """Do `work` with the stores of the environment, or of the `dev` that runs here."""
    settings = _settings()
    if not settings.redis:
        raise CommandError("REDIS_URL or UPSTASH_REDIS_REST_URL must be set.")
    if not settings.jwt_secret:
        # Nothing is signed here.
        settings = dataclasses.replace(settings, jwt_secret=secrets.token_urlsafe(32))

    async def run() -> int:
        container = await build_container(settings, log_stream=sys.stderr.buffer)
        try:
            status = await work(container, Deadline.after(container.services.clock, _COMMAND_TIMEOUT_S))
        except CommandError:
            raise  # It says so itself where there is more to say of it.
        except BaseException:
            _tell_of_unfenced_writes(container)
            raise
        else:
            _tell_of_unfenced_writes(container)
            return status
        finally:
            await close_container(container)

    return asyncio.run(run())


def _tell_of_unfenced_writes(container: NativeContainer) -> None:
    if container.metrics.counted().get("unfenced_writes"):
        print("stakehold: Redis was away: old pages may be shown for 10 minutes.", file=sys.stderr)


if __name__ == "__main__":
    main()
