"""GET /openapi.json answers 200 with the document of this service."""

from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.support.service import Service


async def test_the_document_is_valid(service: Service) -> None:
    """It is OpenAPI 3.1, read without a token, never limited and not stored for long."""
    answer = await service.client.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "public, max-age=60"
    OpenAPIV31SpecValidator(answer.json()).validate()


async def test_every_documented_path_is_there(roomy_service: Service) -> None:
    """Each method of each path in the document is answered by its operation, neither 404 nor 405."""
    person = await roomy_service.enrol()
    document = (await roomy_service.client.get("/openapi.json")).json()
    stake_id = await person.stake()
    for path, item in document["paths"].items():
        for method in item:
            answer = await person.request(method.upper(), path.format(stakeId=stake_id, planId="STK-12M"))
            assert answer.status_code not in (404, 405, 500), (method, path, answer.text)
