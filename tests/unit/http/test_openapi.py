"""The OpenAPI document describes the service as the route table builds it, whole and valid."""

import dataclasses
import json
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from stakehold.http.examples import problem_example
from stakehold.http.openapi import build_document, openapi_document
from stakehold.http.operations import Operation
from stakehold.http.problems import PROBLEMS
from stakehold.http.routes import OPERATIONS

DOCUMENT: dict[str, Any] = json.loads(openapi_document())

each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)


def described(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][operation.path][operation.method.lower()]
    return found


def resolve(value: dict[str, Any]) -> dict[str, Any]:
    """`value`, or what its $ref names in the document."""
    while "$ref" in value:
        target: Any = DOCUMENT
        for key in value["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        value = target
    return value


def references(value: object) -> list[str]:
    """Every $ref below `value`."""
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for member in value.values() for found in references(member)]
    if isinstance(value, list):
        return [found for item in value for found in references(item)]
    return []


def check(example: object, schema: dict[str, Any]) -> None:
    """Raise unless `example` is valid against `schema`, whose references point into the document."""
    resource = DRAFT202012.create_resource(DOCUMENT)
    registry: Registry[Any] = Registry().with_resource("urn:document", resource)
    absolute = json.loads(json.dumps(schema).replace('"#/components', '"urn:document#/components'))
    jsonschema.Draft202012Validator(absolute, registry=registry).validate(example)


def test_the_document_is_valid_openapi_3_1() -> None:
    """Any tool that reads OpenAPI 3.1 can read it."""
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert DOCUMENT["openapi"].startswith("3.1.")


def test_every_reference_leads_somewhere() -> None:
    """No $ref dangles, and none leaves the document."""
    found = references(DOCUMENT)
    assert found
    for reference in found:
        assert resolve({"$ref": reference})


def test_no_component_is_unused() -> None:
    """What is defined is used: nothing stays behind when an operation goes."""
    used = set(references(DOCUMENT))
    for section in ("schemas", "parameters", "headers", "examples"):
        for name in DOCUMENT["components"][section]:
            assert f"#/components/{section}/{name}" in used


def test_the_paths_and_methods_are_those_of_the_route_table() -> None:
    """Every route is in the document, and nothing else is."""
    documented = {(path, method.upper()) for path, item in DOCUMENT["paths"].items() for method in item}
    assert documented == {(operation.path, operation.method) for operation in OPERATIONS}
    assert len({operation.id for operation in OPERATIONS}) == len(OPERATIONS)


@each_operation
def test_every_status_is_described(operation: Operation) -> None:
    """The answers are the operation's outcomes and the statuses of its problems, no more and no fewer."""
    successes = {str(outcome.status) for outcome in operation.outcomes}
    failures = {str(PROBLEMS[code].status) for code in operation.problem_codes()}
    assert set(described(operation)["responses"]) == successes | failures
    assert not successes & failures


@each_operation
def test_every_outcome_has_its_schema_and_headers(operation: Operation) -> None:
    """A success names the schema of its body and every header that the route table names."""
    for outcome in operation.outcomes:
        response = described(operation)["responses"][str(outcome.status)]
        assert response["description"] == outcome.description
        assert set(response["headers"]) >= {"X-Request-Id", *outcome.headers}
        if outcome.schema is None:
            assert all(media == {} for media in response.get("content", {}).values())
        else:
            schema = response["content"]["application/json"]["schema"]
            assert schema == {"$ref": f"#/components/schemas/{outcome.schema.__name__}"}


@each_operation
def test_every_problem_code_is_described(operation: Operation) -> None:
    """A failure is a problem document whose `code` is one of those the operation may have."""
    documented: set[str] = set()
    for status, response in described(operation)["responses"].items():
        for media_type, media in response.get("content", {}).items():
            if media_type != "application/problem+json":
                continue
            members = media["schema"]["allOf"][1]["properties"]
            assert members["status"] == {"const": int(status)}
            assert set(members["code"]["enum"]) == set(media["examples"])
            documented |= set(members["code"]["enum"])
    assert documented == set(operation.problem_codes())


@each_operation
def test_headers_of_failures_are_described(operation: Operation) -> None:
    """401 challenges, 429 and 503 say when to come again, and limited operations say what is left."""
    for status, response in described(operation)["responses"].items():
        headers = response["headers"]
        assert ("RateLimit" in headers) == ("RateLimit-Policy" in headers) == (operation.policy is not None)
        is_problem = "application/problem+json" in response.get("content", {})
        challenges = status == "401" or (status == "403" and operation.scope is not None)
        assert ("WWW-Authenticate" in headers) == challenges
        assert not is_problem or ("Retry-After" in headers) == (status in ("429", "503"))


@each_operation
def test_security_is_described(operation: Operation) -> None:
    """An operation asks for the bearer token exactly when its route does."""
    needed = [operation.scope] if operation.scope else []
    assert described(operation)["security"] == ([{"bearer": needed}] if operation.signed_in else [])


def test_a_scope_is_described() -> None:
    """Who lacks it gets a 403 with a challenge that names it."""
    operation = dataclasses.replace(
        next(operation for operation in OPERATIONS if operation.id == "getMe"), scope="admin"
    )
    document = build_document([operation])
    described = document["paths"]["/api/me"]["get"]
    assert described["security"] == [{"bearer": ["admin"]}]
    refused = described["responses"]["403"]
    assert "WWW-Authenticate" in refused["headers"]
    _, members = refused["content"]["application/problem+json"]["schema"]["allOf"]
    assert members["properties"]["code"] == {"enum": ["insufficient_scope"]}
    assert document["components"]["examples"]["insufficient_scope"]["value"]["scope"] == "admin"


@each_operation
def test_parameters_are_described(operation: Operation) -> None:
    """Path, query and header parameters are all there, those of the query with their bounds."""
    parameters = {(one["in"], one["name"]): one for one in map(resolve, described(operation)["parameters"])}
    names = {("path", part[1:-1]) for part in operation.path.split("/") if part.startswith("{")}
    if operation.query is not None:
        names |= {("query", name) for name in operation.query.__struct_encode_fields__}
    if operation.idempotent:
        names.add(("header", "Idempotency-Key"))
    if operation.page is not None:
        names.add(("header", "If-None-Match"))
    if operation.if_match:
        names.add(("header", "If-Match"))
    assert set(parameters) == names
    for parameter in parameters.values():
        if parameter["in"] == "query" and parameter["schema"].get("type") == "integer":
            assert {"minimum", "maximum"} <= set(parameter["schema"])
        elif parameter["in"] == "query" and "enum" not in parameter["schema"]:
            assert "maxLength" in parameter["schema"]


@each_operation
def test_bodies_are_described(operation: Operation) -> None:
    """A body is required unless it may be left out, and no field is without a type."""
    body = described(operation).get("requestBody")
    assert (body is not None) == (operation.body is not None)
    if body is None:
        return
    assert body["required"] == (not operation.body_optional)
    schema = resolve(body["content"]["application/json"]["schema"])
    assert schema["additionalProperties"] is False
    assert all(member for member in schema["properties"].values())


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_every_member_is_explained(name: str) -> None:
    """No member of a body or an answer is left to be guessed from its name."""
    for member, schema in DOCUMENT["components"]["schemas"][name]["properties"].items():
        assert resolve(schema).get("description"), member


@each_operation
def test_examples_are_valid(operation: Operation) -> None:
    """Every example is valid against the schema beside it."""
    contents = [described(operation).get("requestBody", {}).get("content", {})]
    contents += [response.get("content", {}) for response in described(operation)["responses"].values()]
    for media in (media for content in contents for media in content.values() if media):
        examples = [resolve(example)["value"] for example in media.get("examples", {}).values()]
        examples += [media["example"]] if "example" in media else []
        assert examples
        for example in examples:
            check(example, media["schema"])


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_kind_of_problem_is_listed(code: str) -> None:
    """The document lists every code with its status, also those that belong to no operation."""
    listed = {kind["code"]: kind for kind in DOCUMENT["x-problems"]}
    assert listed[code]["status"] == PROBLEMS[code].status == problem_example(code)["status"]


def test_links_lead_to_operations_and_their_parameters() -> None:
    """What one answer gives to the next call is something that call takes, in its body or as a parameter."""
    by_id = {operation.id: operation for operation in OPERATIONS}
    responses = [answer for one in OPERATIONS for answer in described(one)["responses"].values()]
    links = [link for response in responses for link in response.get("links", {}).values()]
    assert links
    for link in links:
        target = described(by_id[link["operationId"]])
        assert set(link.get("parameters", {})) <= {one["name"] for one in map(resolve, target["parameters"])}
        if "requestBody" in link:
            schema = resolve(target["requestBody"]["content"]["application/json"]["schema"])
            assert set(schema["required"]) <= set(link["requestBody"]) <= set(schema["properties"])


def test_every_problem_of_an_operation_is_registered() -> None:
    """No operation names a code that nothing describes."""
    assert {code for operation in OPERATIONS for code in operation.problem_codes()} <= set(PROBLEMS)


def test_the_document_is_the_same_each_time() -> None:
    """Building it reads no clock, no randomness and no environment."""
    assert json.dumps(build_document(OPERATIONS)) == json.dumps(build_document(OPERATIONS))
    assert openapi_document() is openapi_document()
