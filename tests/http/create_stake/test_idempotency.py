"""One Idempotency-Key has one effect and one answer, however often and however concurrently it is sent."""

import asyncio

from tests.http.conftest import StartService
from tests.support.service import Person, assert_problem, count_by_status

STAKE = {"amount": "12.5", "period": 6}


async def test_24_at_once_make_one_stake(person: Person) -> None:
    """All are answered with the same stake; one made it, the others say that they replay."""
    headers = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
    answers = await asyncio.gather(*(person.post("/api/stake", STAKE, headers=headers) for _ in range(24)))
    assert count_by_status(answers) == {201: 24}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["location"] for answer in answers}) == 1
    replays = [answer.headers.get("idempotency-replayed") for answer in answers]
    assert replays.count(None) == 1
    assert replays.count("true") == 23
    assert await person.service.sql("SELECT count(*) FROM stakes") == [(1,)]
    assert len((await person.list_stakes())["items"]) == 1


async def test_two_processes_make_one_stake(start_service: StartService) -> None:
    """The key is kept where the stake is, so it does not matter which process is asked."""
    one, other = await start_service(), await start_service()
    person = await one.enrol()
    headers = {"Idempotency-Key": '"shared"'}
    answers = await asyncio.gather(
        *(
            person.at(each).post("/api/stake", STAKE, headers=headers)
            for _ in range(8)
            for each in (one, other)
        )
    )
    assert count_by_status(answers) == {201: 16}
    assert len({answer.content for answer in answers}) == 1


async def test_another_body_is_refused(person: Person) -> None:
    """The same key with another amount or period is 422, and neither changes nor makes anything."""
    headers = {"Idempotency-Key": '"key"'}
    made = await person.post("/api/stake", STAKE, headers=headers)
    for other in ({"amount": "12.51", "period": 6}, {"amount": "12.5", "period": 12}):
        problem = assert_problem(
            await person.post("/api/stake", other, headers=headers), 422, "idempotency_key_reused"
        )
        assert problem["errors"][0]["pointer"] == "Idempotency-Key"
    replay = await person.post("/api/stake", STAKE, headers=headers)
    assert replay.content == made.content
    assert [item["amount"] for item in (await person.list_stakes())["items"]] == ["12.5"]


async def test_bodies_are_compared_by_meaning(person: Person) -> None:
    """Another spelling of the same amount, order of fields or white space is the same request."""
    headers = {"Idempotency-Key": '"key"', "Content-Type": "application/json"}
    bodies = (
        '{"amount":1000,"period":12}',
        '{ "period": 12, "amount": "1000.00" }',
        '{"amount":1e3,"period":12}',
    )
    answers = [await person.post("/api/stake", content=body, headers=headers) for body in bodies]
    assert count_by_status(answers) == {201: 3}
    assert len({answer.content for answer in answers}) == 1


async def test_quoted_and_bare_are_one_key(person: Person) -> None:
    """A structured-field string and the same characters bare name the same key."""
    answers = [
        await person.post("/api/stake", STAKE, headers={"Idempotency-Key": key})
        for key in ('"abc-123"', "abc-123", ' "abc-123" ')
    ]
    assert len({answer.content for answer in answers}) == 1


async def test_keys_are_compared_exactly(person: Person) -> None:
    """Keys that differ in case, or in quotes inside, are different keys; 255 characters are taken."""
    keys = ('"key"', '"KEY"', '"k\\"ey"', '"k ey"', '"' + "k" * 255 + '"')
    answers = [await person.post("/api/stake", STAKE, headers={"Idempotency-Key": key}) for key in keys]
    assert count_by_status(answers) == {201: len(keys)}
    assert len({answer.content for answer in answers}) == len(keys)


async def test_keys_belong_to_their_user(person: Person) -> None:
    """Two users with one key make two stakes, and learn nothing of each other."""
    other = await person.service.enrol()
    assert await person.stake(key="key") != await other.stake(amount="7", key="key")


async def test_a_refused_request_leaves_its_key_free(person: Person) -> None:
    """After a 422 the same key can be used for the corrected request."""
    headers = {"Idempotency-Key": '"key"'}
    for refused in ({"amount": 0, "period": 12}, {"amount": 1, "period": 2}):
        assert (await person.post("/api/stake", refused, headers=headers)).status_code == 422
    made = await person.post("/api/stake", STAKE, headers=headers)
    assert made.status_code == 201
    assert "idempotency-replayed" not in made.headers


async def test_a_key_is_good_for_another_stake_after_a_day(person: Person) -> None:
    """Keys are kept for 24 hours, then forgotten."""
    first = await person.stake(key="key")
    [(hours,)] = await person.service.sql(
        "SELECT extract(epoch FROM expires_at - now()) / 3600 FROM idempotency"
    )
    assert 23.9 < hours <= 24
    await person.service.sql("UPDATE idempotency SET expires_at = now() - INTERVAL '1 second'")
    second = await person.stake(key="key")
    assert second != first
    assert await person.stake(key="key") == second


async def test_without_a_key_every_request_makes_a_stake(person: Person) -> None:
    """Two equal requests are two stakes: nobody said they were one."""
    assert await person.stake() != await person.stake()


async def test_of_two_bodies_at_once_one_wins(person: Person) -> None:
    """When two requests race for one key, one is made and replayed, and every copy of the other is 422."""
    headers = {"Idempotency-Key": '"key"'}
    bodies = [{"amount": amount, "period": 12} for amount in (1, 2)]
    answers = await asyncio.gather(
        *(person.post("/api/stake", body, headers=headers) for _ in range(12) for body in bodies)
    )
    by_body = [answers[0::2], answers[1::2]]
    assert sorted(count_by_status(each).popitem() for each in by_body) == [(201, 12), (422, 12)]
    [made] = [each for each in by_body if each[0].status_code == 201]
    assert len({answer.content for answer in made}) == 1
    assert await person.service.sql("SELECT count(*) FROM stakes") == [(1,)]
