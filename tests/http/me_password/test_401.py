"""POST /api/me/password answers 401 to whoever is not signed in."""

from tests.support.service import PASSWORD, Person
from tests.support.strangers import assert_refuses_strangers


async def test_strangers_are_refused(person: Person) -> None:
    """Knowing the password is not being signed in; it stays as it was."""
    body = {"currentPassword": PASSWORD, "newPassword": "a long walk on a cold day"}
    await assert_refuses_strangers(person.service, "POST", "/api/me/password", body)
    await person.service.sign_in(person.username)
