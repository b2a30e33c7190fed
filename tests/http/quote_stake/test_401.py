"""POST /api/stake/quote answers 401 to whoever is not signed in."""

from tests.support.service import Service
from tests.support.strangers import assert_refuses_strangers


async def test_strangers_are_refused(service: Service) -> None:
    """A quote is for somebody."""
    await assert_refuses_strangers(service, "POST", "/api/stake/quote", {"amount": 1, "period": 12})
