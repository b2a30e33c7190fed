"""POST /api/me/password answers 409 when the password changed meanwhile."""

import asyncio

from tests.support.service import PASSWORD, Person, count_by_status


async def test_of_concurrent_changes_one_wins(person: Person) -> None:
    """Of four changes at once one is made; the others are told so, and the winner's password counts."""
    passwords = [f"a long walk on a cold day {number}" for number in range(4)]
    answers = await asyncio.gather(
        *(
            person.post("/api/me/password", {"currentPassword": PASSWORD, "newPassword": password})
            for password in passwords
        )
    )
    counts = count_by_status(answers)
    assert counts.pop(200) == 1
    assert set(counts) <= {401, 403, 409}
    winner = next(number for number, answer in enumerate(answers) if answer.status_code == 200)
    await person.service.sign_in(person.username, passwords[winner])
