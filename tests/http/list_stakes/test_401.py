"""GET /api/stake answers 401 to whoever is not signed in."""

from tests.support.service import Person
from tests.support.strangers import assert_refuses_strangers


async def test_strangers_are_refused(person: Person) -> None:
    """No token, another scheme, nonsense or a session nobody has: 401, also while the page is cached."""
    await person.stake()
    await person.list_stakes()
    await assert_refuses_strangers(person.service, "GET", "/api/stake")
