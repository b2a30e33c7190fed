"""POST /api/stake answers 429 beyond 20 creations in any minute."""

import asyncio

from tests.http.conftest import StartService
from tests.support.limits import read_limits
from tests.support.service import Person, Service, assert_problem, count_by_status

STAKE = {"amount": 1, "period": 12}
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"


async def test_twenty_of_forty_at_once_pass(limited_person: Person) -> None:
    """Exactly 20 of 40 concurrent creations pass; the others made nothing and say when to come again."""
    answers = await asyncio.gather(*(limited_person.post("/api/stake", STAKE) for _ in range(40)))
    assert count_by_status(answers) == {201: 20, 429: 20}
    for answer in answers:
        if answer.status_code == 429:
            problem = assert_problem(answer, 429, "rate_limited")
            assert problem["type"] == QUOTA_EXCEEDED
            assert problem["violated-policies"] == ["stake-create"]
            assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert len((await limited_person.list_stakes(limit=100))["items"]) == 20


async def test_processes_share_the_limit(start_service: StartService) -> None:
    """Exactly 20 of 40 pass over two processes together."""
    one, other = await start_service(), await start_service()
    person = await one.enrol()
    answers = await asyncio.gather(
        *(person.at(service).post("/api/stake", STAKE) for _ in range(20) for service in (one, other))
    )
    assert count_by_status(answers) == {201: 20, 429: 20}


async def test_each_user_has_their_own(limited_person: Person) -> None:
    """One user's requests never count against another's, though they come from one address."""
    await asyncio.gather(*(limited_person.post("/api/stake", STAKE) for _ in range(21)))
    other = await limited_person.service.enrol()
    assert (await other.post("/api/stake", STAKE)).status_code == 201


async def test_a_refused_body_is_charged(limited_person: Person) -> None:
    """Invalid requests are counted: guessing at the schema is not free."""
    for _ in range(20):
        assert (await limited_person.post("/api/stake", {"amount": 0, "period": 12})).status_code == 422
    assert_problem(await limited_person.post("/api/stake", STAKE), 429, "rate_limited")


async def test_the_headers_count_down(limited_person: Person) -> None:
    """RateLimit says what is left of each limit, RateLimit-Policy what it is; reads have one of their own."""
    for left in range(19, 9, -1):
        answer = await limited_person.post("/api/stake", STAKE)
        assert answer.headers["ratelimit-policy"] == '"stake-create";q=20;w=60, "global";q=100;w=60'
        limits = read_limits(answer)
        assert limits["stake-create"].remaining == left
        assert limits["global"].remaining == left + 80
        assert 1 <= limits["stake-create"].reset_s <= 60
    answer = await limited_person.get("/api/stake")
    assert answer.headers["ratelimit-policy"] == '"stake-read";q=60;w=60, "global";q=100;w=60'
    assert read_limits(answer)["stake-read"].remaining == 59


async def test_a_denial_charges_nothing(start_service: StartService) -> None:
    """All limits are looked at together: what one refuses costs nothing of the other."""
    service = await start_service(STAKEHOLD_LIMITS="stake-create=2,global=10")
    person = await service.enrol()
    for _ in range(8):
        answer = await person.post("/api/stake", STAKE)
    assert answer.status_code == 429
    assert read_limits(await person.get("/api/stake"))["global"].remaining == 7


async def test_all_calls_together_have_a_limit(start_service: StartService) -> None:
    """`global` counts a user's calls of every kind; then each of them is refused, and names it."""
    service: Service = await start_service(STAKEHOLD_LIMITS="global=4")
    person = await service.enrol()
    await person.stake()
    await person.list_stakes()
    await person.get("/api/me")
    await person.list_stakes(page=2)
    for path in ("/api/stake", "/api/me"):
        problem = assert_problem(await person.get(path), 429, "rate_limited")
        assert problem["violated-policies"] == ["global"]
