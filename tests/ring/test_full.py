"""A full Redis answers a PING and nothing else that matters: it counts as one that is away."""

from tests.ring.databases import RingDatabase
from tests.ring.test_one_away import AWAY, mend, running, trouble


async def test_a_full_database_makes_the_service_degraded(
    databases: list[RingDatabase], database_url: str
) -> None:
    """/readyz does not call ready what goes on without its limits and its cache."""
    async with running(databases, database_url) as service:
        trouble(databases[AWAY], "full")
        for there in service.everywhere(service.own):
            await there.list_stakes()
        ready = await service.processes[0].service.client.get("/readyz")
        mend(databases[AWAY], "full")
        assert service.processes[0].services.gate.state == "down"
        assert ready.json()["status"] == "degraded"
