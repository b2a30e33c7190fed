"""GET /api/stake answers 304 while the ETag that the client has is current."""

import pytest

from tests.support.service import Person


async def test_an_unchanged_list_is_not_sent_again(person: Person) -> None:
    """With If-None-Match the answer is 304, without a body, with the same ETag, cached or not."""
    await person.stake()
    etag = (await person.get("/api/stake")).headers["etag"]
    for _ in range(3):
        answer = await person.get("/api/stake", headers={"If-None-Match": etag})
        assert answer.status_code == 304
        assert answer.content == b""
        assert answer.headers["etag"] == etag
        assert answer.headers["cache-control"] == "private, no-cache"
        assert "content-type" not in answer.headers
    await person.service.redis("FLUSHALL")
    assert (await person.get("/api/stake", headers={"If-None-Match": etag})).status_code == 304


@pytest.mark.parametrize("form", ["{etag}", "{bare}", '"other", {etag}', '"other",{bare} , W/"more"', "*"])
async def test_any_of_the_tags_may_match(person: Person, form: str) -> None:
    """A list of tags, weak or strong, and `*` are compared weakly."""
    etag = (await person.get("/api/stake")).headers["etag"]
    assert etag.startswith('W/"')
    header = form.format(etag=etag, bare=etag.removeprefix("W/"))
    assert (await person.get("/api/stake", headers={"If-None-Match": header})).status_code == 304


@pytest.mark.parametrize("tag", ['"other"', 'W/"other"', "", "other", '"', "W/"])
async def test_another_tag_does_not_match(person: Person, tag: str) -> None:
    """What is not the current tag, or none at all, gets the whole answer."""
    await person.stake()
    answer = await person.get("/api/stake", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert len(answer.json()["items"]) == 1


async def test_a_write_changes_the_tag(person: Person) -> None:
    """After a creation the old tag is not current any more."""
    await person.stake()
    etag = (await person.get("/api/stake")).headers["etag"]
    await person.stake()
    answer = await person.get("/api/stake", headers={"If-None-Match": etag})
    assert answer.status_code == 200
    assert answer.headers["etag"] != etag


async def test_pages_and_users_have_tags_of_their_own(person: Person) -> None:
    """Different items have different tags."""
    other = await person.service.enrol()
    await person.stake()
    await person.stake()
    await other.stake()
    answers = [
        await person.get("/api/stake?limit=1"),
        await person.get("/api/stake?limit=1&page=2"),
        await person.get("/api/stake"),
        await other.get("/api/stake"),
    ]
    assert len({answer.headers["etag"] for answer in answers}) == len(answers)
