"""The cached user entry at the gate: it ends sessions at once, and absent it decides nothing."""

import pytest

from stakehold.domain.accounts import UserState
from stakehold.gate import AccountRead, Policy, SessionRefusedError
from stakehold.redis.resp import RespRedis
from tests.unit.gate.conftest import ACTIVE, PAGE, SESSION, USER, Process, Start

FEW = Policy("auth", 3)
ACCOUNT = f"sh0:{{u:{USER}}}:account"


async def _look(process: Process, epoch: int = 0) -> AccountRead:
    account = (await process.enter(epoch=epoch)).account
    assert account is not None
    return account


async def _store(process: Process, state: UserState) -> None:
    account = await _look(process, state.epoch)
    assert account.fill is not None
    await process.gate.fill_account(account.fill, state)


async def test_an_absent_entry_asks_the_database(start: Start) -> None:
    """Without an entry nothing is known of the user, and the answer may be stored."""
    account = await _look(await start())
    assert account.state is None
    assert account.fill is not None


async def test_a_stored_entry_is_told(start: Start) -> None:
    """The state is told as it was stored, revoked sessions included."""
    state = UserState("active", 3, frozenset({"0190a000-0000-7000-8000-00000000bbbb", "x"}))
    one = await start()
    await _store(one, state)
    assert await _look(one, epoch=3) == AccountRead(state)


@pytest.mark.parametrize(
    "state",
    [
        UserState("disabled", 0, frozenset()),
        UserState("active", 1, frozenset()),
        UserState("active", 0, frozenset({"another", SESSION})),
    ],
    ids=["disabled", "signed out everywhere", "session revoked"],
)
async def test_a_session_that_ended_is_refused_and_not_charged(
    start: Start, redis: RespRedis, state: UserState
) -> None:
    """The entry refuses a token of a disabled user, an older epoch or a revoked session; nothing happens."""
    process = await start()
    account = await _look(process)
    assert account.fill is not None
    await process.gate.fill_account(account.fill, state)
    with pytest.raises(SessionRefusedError) as caught:
        await process.enter(FEW, page=PAGE, fences=())
    with pytest.raises(SessionRefusedError):
        await process.enter(FEW, fences=("stakes", "account"))
    assert caught.value.code == "session_ended"
    keys = await redis.command("KEYS", "*", timeout_s=1)
    assert isinstance(keys, list)
    assert set(keys) == {ACCOUNT.encode(), b"sh0:incarnation"}


async def test_a_session_whose_id_is_part_of_a_revoked_one_is_let_in(start: Start) -> None:
    """Session ids are compared whole."""
    process = await start()
    await _store(process, UserState("active", 0, frozenset({SESSION + "0", "0" + SESSION})))
    assert (await _look(process)).state is not None


async def test_a_newer_token_than_the_entry_asks_the_database(start: Start) -> None:
    """A token of a later epoch shows that the entry is out of date: it is dropped, and refuses nobody."""
    process = await start()
    await _store(process, ACTIVE)
    account = await _look(process, epoch=1)
    assert account.state is None
    assert account.fill is not None
    await process.gate.fill_account(account.fill, UserState("active", 1, frozenset()))
    with pytest.raises(SessionRefusedError):
        await _look(process, epoch=0)


async def test_while_the_account_is_fenced_the_database_decides(start: Start) -> None:
    """During a change of the account no entry is used or stored; after it none is there."""
    process = await start()
    await _store(process, ACTIVE)
    fence = (await process.enter(fences=("account",))).fence
    assert fence is not None
    assert await _look(process) == AccountRead(None)
    await process.gate.leave(fence, process.deadline)
    account = await _look(process)
    assert account.state is None
    assert account.fill is not None


async def test_a_stale_entry_still_decides_and_one_request_renews_it(start: Start, redis: RespRedis) -> None:
    """After ten minutes the entry is used for ten more, and one request is chosen to read it again."""
    process = await start()
    await _store(process, ACTIVE)
    stored = await redis.command("HGET", ACCOUNT, "e:state", timeout_s=1)
    assert isinstance(stored, bytes)
    head, _, body = stored.partition(b"\n")
    created, fresh_until, stale_until, etag = head.split(b" ")
    assert int(fresh_until) - int(created) == 600_000
    assert int(stale_until) - int(created) == 1_200_000
    older = b" ".join([b"%d" % (int(t) - 601_000) for t in (created, fresh_until, stale_until)] + [etag])
    await redis.command("HSET", ACCOUNT, "e:state", older + b"\n" + body, timeout_s=1)
    first, second = await _look(process), await _look(process)
    assert first.state == second.state == ACTIVE
    assert first.refresh
    assert first.fill is not None
    assert second == AccountRead(ACTIVE)
    await process.gate.fill_account(first.fill, ACTIVE)
    assert await _look(process) == AccountRead(ACTIVE)


async def test_an_entry_that_cannot_be_read_asks_the_database(start: Start, redis: RespRedis) -> None:
    """A user entry that somebody else wrote refuses nobody and lets nobody in."""
    process = await start()
    await _store(process, ACTIVE)
    stored = await redis.command("HGET", ACCOUNT, "e:state", timeout_s=1)
    assert isinstance(stored, bytes)
    for body in (b"", b"nonsense"):
        await redis.command(
            "HSET", ACCOUNT, "e:state", stored.partition(b"\n")[0] + b"\n" + body, timeout_s=1
        )
        account = await _look(process)
        assert account.state is None
        assert account.fill is not None
