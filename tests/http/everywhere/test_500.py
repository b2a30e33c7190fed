"""A fault of ours is 500: a problem that says nothing of the inside, and a line in the log that does."""

import json

from tests.support.service import PASSWORD, Service, assert_problem


async def test_a_fault_is_logged_and_not_told(service: Service) -> None:
    """The client gets an id to quote; the log has the same id, what happened, and no password."""
    person = await service.enrol()
    # No operation of the service can store this: a row that nobody foresaw.
    await service.sql("UPDATE users SET password_hash = 'spoilt'")
    answer = await service.client.post("/api/auth", json={"username": person.username, "password": PASSWORD})
    problem = assert_problem(answer, 500, "internal_error")
    assert "spoilt" not in answer.text
    assert "scrypt" not in answer.text
    assert "Traceback" not in answer.text
    assert (await person.get("/api/me")).status_code == 200
    log = await service.log()
    [fault] = [line for line in map(json.loads, log) if line["event"] == "fault"]
    assert fault["request_id"] == problem["request_id"]
    assert PASSWORD not in "".join(log)
