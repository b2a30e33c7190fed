"""GET /api/stake/{stakeId} answers 401 to whoever is not signed in."""

from tests.support.service import Person
from tests.support.strangers import assert_refuses_strangers


async def test_strangers_are_refused(person: Person) -> None:
    """Knowing an id is not being signed in."""
    path = f"/api/stake/{await person.stake()}"
    await person.get(path)
    await assert_refuses_strangers(person.service, "GET", path)
