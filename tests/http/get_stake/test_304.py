"""GET /api/stake/{stakeId} answers 304 while the ETag that the client has is current."""

from tests.support.service import Person


async def test_an_unchanged_stake_is_not_sent_again(person: Person) -> None:
    """With If-None-Match the answer has no body; another tag gets the whole stake."""
    path = f"/api/stake/{await person.stake()}"
    etag = (await person.get(path)).headers["etag"]
    answer = await person.get(path, headers={"If-None-Match": etag})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert (await person.get(path, headers={"If-None-Match": '"other"'})).status_code == 200
