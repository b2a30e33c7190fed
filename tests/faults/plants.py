"""Bugs to plant in a server process, by name: each is a mistake that the protocols are there to prevent.

`apply(name)` changes the real code of this process, before the service is imported, and raises AssertionError
when there is no longer what it means to change: a plant that does not take must not pass for one not found.
The service itself knows nothing of them.
"""

import asyncio
import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

_FENCES = ("open_fence(hash, marks, nonce, life_ms)", "close_fence(hash, marks, nonce)")


def apply(name: str) -> None:
    """Plant the bug `name` in this process. KeyError for a name that is not in PLANTS."""
    assert "stakehold.gate" not in sys.modules, "planted too late: the scripts are put together already"
    PLANTS[name]()


def _fence_never_opened() -> None:
    """A write leaves no mark and drops nothing before it is done."""
    _begin_functions({_FENCES[0]: "if true then return end"}, scripts=("ENTER", "OPEN_FENCES"))


def _generation_not_checked() -> None:
    """A page is stored whatever was written since its reader entered."""
    _replace_in_script("if redis.call('HGET', hash, 'generation') ~= generation then return 0 end\n", "")
    from stakehold.gate import scripts

    assert "fill(" in scripts.FILL.source
    assert "~= generation" not in scripts.FILL.source


def _retry_with_a_new_id() -> None:
    """Each attempt at making a stake makes one of its own."""
    from stakehold.database import stake_creation
    from stakehold.domain.ids import new_id
    from stakehold.runtime.outside import SystemClock, SystemEntropy

    make = stake_creation.create_stake

    async def make_another(connection: Any, new: stake_creation.NewStake) -> stake_creation.Creation:
        return await make(connection, dataclasses.replace(new, id=new_id(SystemClock(), SystemEntropy())))

    _replace_create_stake(make_another)


def _cache_key_without_the_user() -> None:
    """All users' pages are kept under one key."""
    shared = "if string.sub(hash, -7) == ':stakes' then hash = 'stakes-of-all' end"
    headers = (
        *_FENCES,
        "look(hash, marks, name, request_id, incarnation, trusted_since_us)",
        "fill(hash, marks, incarnation, generation, name, entry, stale_until_ms, entries_max)",
    )
    _begin_functions(dict.fromkeys(headers, shared), scripts=("ENTER", "LEAVE", "FILL"))


def _limit_by_process_instead_of_shared() -> None:
    """Each process charges a log of its own, with the whole quota."""
    from stakehold.limits import policies, script

    complete = policies.Policy.__post_init__

    def complete_for_process(policy: policies.Policy) -> None:
        complete(policy)
        object.__setattr__(policy, "key_part", f"{policy.key_part}:{os.getpid()}")

    policies.Policy.__post_init__ = complete_for_process  # type: ignore[assignment]
    for policy in policies.DEFAULTS:
        policy.__post_init__()
    for policy in (policies.Policies().get("auth"), policies.Policies({"auth": (3, 9)}).get("auth")):
        assert script.log_key("", policy) == f"limit:auth:{os.getpid()}"


def _commit_acknowledged_before_it_happened() -> None:
    """A stake is acknowledged when its statement was executed; the transaction is committed behind."""
    import asyncpg

    from stakehold.database import stake_creation

    make = stake_creation.create_stake
    committing: set[asyncio.Task[None]] = set()

    async def make_and_commit_later(_: Any, new: stake_creation.NewStake) -> stake_creation.Creation:
        connection = await asyncpg.connect(os.environ["DATABASE_URL"], timeout=5)
        transaction = connection.transaction()
        await transaction.start()
        creation = await make(connection, new)

        async def commit() -> None:
            with contextlib.suppress(Exception):
                await transaction.commit()
                await connection.close(timeout=5)

        task = asyncio.create_task(commit())
        committing.add(task)
        task.add_done_callback(committing.discard)
        return creation

    _replace_create_stake(make_and_commit_later)


def _revoked_token_accepted_from_cache() -> None:
    """What ends a session leaves the cached user entry, which still says that it stands."""
    keep = "if string.sub(hash, -8) == ':account' then return end"
    _begin_functions(dict.fromkeys(_FENCES, keep), scripts=("ENTER", "LEAVE", "OPEN_FENCES"))


def _begin_functions(statements: Mapping[str, str], scripts: tuple[str, ...]) -> None:
    """Put a statement at the beginning of functions of the cache's script, given by their headers."""
    for header, statement in statements.items():
        line = f"local function {header}\n"
        _replace_in_script(line, f"{line}  {statement}\n")
    from stakehold.gate import scripts as composed

    for name in scripts:
        source = getattr(composed, name).source
        # Once where it is defined, and again where it is called.
        called = [header for header in statements if source.count(header[: header.index("(") + 1]) > 1]
        assert called, f"{name} calls none of {list(statements)}"
        assert all(statement in source for statement in statements.values())


def _replace_in_script(old: str, new: str) -> None:
    from stakehold.cache import script

    assert script.LUA.count(old) == 1, f"the cache's script does not have, once: {old}"
    script.LUA = script.LUA.replace(old, new)


def _replace_create_stake(planted: Any) -> None:
    from stakehold.database import stake_creation

    stake_creation.create_stake = planted
    from stakehold.services import stakes as service

    assert vars(service)["stake_creation"].create_stake is planted, "the service makes stakes in another way"


PLANTS: Mapping[str, Callable[[], None]] = {
    "fence_never_opened": _fence_never_opened,
    "generation_not_checked": _generation_not_checked,
    "retry_with_a_new_id": _retry_with_a_new_id,
    "cache_key_without_the_user": _cache_key_without_the_user,
    "limit_by_process_instead_of_shared": _limit_by_process_instead_of_shared,
    "commit_acknowledged_before_it_happened": _commit_acknowledged_before_it_happened,
    "revoked_token_accepted_from_cache": _revoked_token_accepted_from_cache,
}
