"""What people do with stakes, and what must come of it."""

import asyncio
from typing import Any

from tests.stateful.machine.account_acts import REVOKED
from tests.stateful.machine.conduct import Answer, Conduct
from tests.stateful.machine.faults import CALM, Faults
from tests.stateful.machine.model import (
    KEY_TTL_MS,
    Access,
    Asked,
    Key,
    Stake,
    User,
    made_at_ms,
    promise,
)
from tests.stateful.machine.strategies import spell

ONCE = "a stake is made once"
KEYED = "a key makes one stake, and answers with it"
SHOWN = "a list shows every acknowledged stake once, exactly, newest first"
OWN = "a user sees their own stakes, and nobody else's"


async def create(
    conduct: Conduct,
    access: Access,
    asked: Asked,
    *,
    key: str | None = None,
    spelling: int = 0,
    at: int,
    faults: Faults = CALM,
    hold: bool = False,
) -> None:
    """Lock an amount."""
    user, refusal = access.session.user, access.refusal(conduct.now_ms)
    known = user.key(key, conduct.now_ms)
    answer = await conduct.ask(
        "POST",
        "/api/stake",
        at=at,
        faults=faults,
        access=access,
        hold=hold,
        **_creation(asked, key, spelling),
    )
    if answer.failed:
        if answer.is_unknown and not refusal and known is None:
            await _settle_creation(conduct, user, asked, key, answer)
    elif refusal:
        answer.must_be(401, refusal, REVOKED)
    elif known is not None and known.stake.asked != asked:
        answer.must_be(422, "idempotency_key_reused", KEYED)
    else:
        answer.must_be(201, "", KEYED if known else ONCE)
        assert answer.response is not None
        made, replayed = answer.body["stakeId"], "idempotency-replayed" in answer.response.headers
        promise(replayed == (known is not None), KEYED, answer.described)
        promise(answer.response.headers["location"] == f"/api/stake/{made}", ONCE, answer.described)
        if known is not None:
            promise(made == known.stake.id, KEYED, f"{made} in place of {known.stake.id}")
        else:
            _keep(user, Stake(made, asked), key, answer)


def _creation(asked: Asked, key: str | None, spelling: int) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Idempotency-Key"] = f'"{key}"'
    content = f'{{"amount": {spell(asked.amount_minor, spelling)}, "period": {asked.period}}}'
    return {"headers": headers, "content": content}


async def _settle_creation(
    conduct: Conduct, user: User, asked: Asked, key: str | None, answer: Answer
) -> None:
    """After an unknown outcome: the stake was made whole or not at all, and for good."""
    row = (await conduct.rows())[user.name]
    made = row.stakes.keys() - {stake.id for stake in user.stakes}
    promise(len(made) <= 1, ONCE, f"{made} of one request")
    for identifier in made:
        _keep(user, Stake(identifier, asked), key, answer)


def _keep(user: User, stake: Stake, key: str | None, answer: Answer) -> None:
    made_ms = made_at_ms(stake.id)
    promise(answer.start_ms <= made_ms <= answer.end_ms, "a stake's time is that of its making", stake)
    user.add(stake)
    if key is not None:
        user.keys[key] = Key(stake, answer.start_ms + KEY_TTL_MS)


async def race(conduct: Conduct, access: Access, asked: Asked, *, key: str) -> None:
    """Two of the same creation at once, with a reader beside them."""
    user, known = access.session.user, access.session.user.key(key, conduct.now_ms)
    before = user.page(conduct.now_ms, limit=10)
    first, second, read = await asyncio.gather(
        *(
            conduct.ask("POST", "/api/stake", at=at, access=access, **_creation(asked, key, at))
            for at in (0, 1)
        ),
        conduct.ask("GET", "/api/stake", access=access),
    )
    for answer in (first, second):
        if answer.code == "idempotency_in_flight":
            continue
        if known is None and answer.status == 201:
            known = Key(Stake(answer.body["stakeId"], asked), answer.start_ms + KEY_TTL_MS)
            _keep(user, known.stake, key, answer)
        if known is not None and known.stake.asked != asked:
            answer.must_be(422, "idempotency_key_reused", KEYED)
        else:
            answer.must_be(201, "", KEYED)
            promise(known is not None and answer.body["stakeId"] == known.stake.id, KEYED, answer.described)
    read.must_be(200, "", REVOKED)
    seen = _told(read.body)
    promise(seen in (before, user.page(conduct.now_ms, limit=10)), SHOWN, read.described)


async def be_refused(
    conduct: Conduct, access: Access, *, key: str, amount: str, period: int, at: int
) -> None:
    """Ask for what there is not: nothing is stored, and the key stays free."""
    answer = await conduct.ask(
        "POST",
        "/api/stake",
        at=at,
        access=access,
        headers={"Idempotency-Key": key},
        json={"amount": amount, "period": period},
    )
    answer.must_be(422, "unknown_period" if amount != "0" else "validation_error", ONCE)


async def read_page(
    conduct: Conduct,
    access: Access,
    *,
    at: int,
    limit: int,
    page: int = 1,
    cursor: str | None = None,
    before: str | None = None,
    faults: Faults = CALM,
    hold: bool = False,
) -> dict[str, Any] | None:
    """Read one page, by number or from a cursor that stands for `before`; None when that fails."""
    params = {"limit": limit, **({"cursor": cursor} if cursor else {"page": page})}
    refusal = access.refusal(conduct.now_ms)
    answer = await conduct.ask(
        "GET", "/api/stake", at=at, access=access, params=params, faults=faults, hold=hold
    )
    if answer.failed:
        return None
    if refusal:
        answer.must_be(401, refusal, REVOKED)
        return None
    answer.must_be(200, "", REVOKED)
    user, shown = access.session.user, answer.body
    owed = [
        user.page(now_ms, limit=limit, page=page, before=before)
        for now_ms in sorted({answer.start_ms, answer.end_ms})
    ]
    seen = _told(shown)
    promise(seen in owed, SHOWN, f"{seen} in place of {owed}")
    promise((shown["nextCursor"] is not None) == shown["hasMore"], SHOWN, shown)
    _remember_tag(user, answer, params)
    return shown


def _told(page: dict[str, Any]) -> dict[str, Any]:
    """What a page says, of all that the model knows."""
    return {"items": [Stake.told(item) for item in page["items"]], "hasMore": page["hasMore"]}


def _remember_tag(user: User, answer: Answer, params: dict[str, Any]) -> None:
    assert answer.response is not None
    content = {name: value for name, value in answer.body.items() if name != "fromCache"}
    user.tags[tuple(sorted(params.items()))] = (answer.response.headers["etag"], content)


async def read_again(conduct: Conduct, access: Access, *, limit: int, at: int) -> None:
    """A conditional read: 304 as long as nothing changed, and the page as soon as something did."""
    user, params = access.session.user, {"limit": limit, "page": 1}
    tag, content = user.tags.get(tuple(sorted(params.items())), ('W/"none"', None))
    answer = await conduct.ask(
        "GET", "/api/stake", at=at, access=access, params=params, headers={"If-None-Match": tag}
    )
    owed = user.page(answer.end_ms, limit=limit)
    if content is not None and owed == _told(content) and answer.status == 304:
        return
    answer.must_be(200, "", "a page that changed is sent whole")
    promise(_told(answer.body) == owed, SHOWN, f"{answer.body} in place of {owed}")
    # What has matured may have been paid out meanwhile, which this model does not tell from one another.
    told = {name: value for name, value in answer.body.items() if name != "fromCache"}
    promise(told != content, "304 while nothing changed", answer.described)
    _remember_tag(user, answer, params)


async def read_all_by_number(conduct: Conduct, access: Access, *, limit: int, at: int) -> None:
    """Every page by its number, and one past the end: together all stakes, none twice."""
    pages = len(access.session.user.stakes) // limit + 2
    for page in range(1, pages + 1):
        await read_page(conduct, access, at=at, limit=limit, page=page)


async def read_all_by_cursor(
    conduct: Conduct, access: Access, *, limit: int, at: int, between: Asked | None
) -> None:
    """Every page from cursor to cursor, with a stake made meanwhile, which shifts nothing."""
    user = access.session.user
    seen: list[str] = []
    before_walk = {stake.id for stake in user.stakes}
    page = await read_page(conduct, access, at=at, limit=limit)
    while page is not None:
        seen += [item["id"] for item in page["items"]]
        if not page["hasMore"]:
            break
        if between is not None:
            await create(conduct, access, between, at=1 - at)
            between = None
        page = await read_page(
            conduct, access, at=at, limit=limit, cursor=page["nextCursor"], before=seen[-1]
        )
    promise(len(seen) == len(set(seen)) and before_walk <= set(seen), SHOWN, seen)


async def read_one(
    conduct: Conduct, access: Access, identifier: str, *, at: int, faults: Faults = CALM, hold: bool = False
) -> None:
    """Read the stake of this id, whosever it is."""
    refusal = access.refusal(conduct.now_ms)
    path = f"/api/stake/{identifier}"
    stake = next((own for own in access.session.user.stakes if own.id == identifier), None)
    answer = await conduct.ask("GET", path, at=at, access=access, faults=faults, hold=hold)
    if answer.failed:
        return
    if refusal:
        answer.must_be(401, refusal, REVOKED)
    elif stake is None:
        answer.must_be(404, "not_found", OWN)
    else:
        answer.must_be(200, "", OWN)
        owed = [stake.item(answer.start_ms), stake.item(answer.end_ms)]
        promise(Stake.told(answer.body) in owed, OWN, f"{answer.body} in place of {owed}")
