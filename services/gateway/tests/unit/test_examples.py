"""The examples in the OpenAPI document are what its schemas say."""

from typing import Any

import jsonschema_rs

from services.gateway.api.examples import ANSWERS, EXAMPLES, add_examples
from services.gateway.tests.unit.test_access import document

PICTURES = ("/api/image/", "/api/video/", "/api/flux/", "/api/ideogram/", "/api/qwen/", "/v1/")
MORE = ("/api/unified-generate", "/api/jobs", "/api/jobs/{job_id}")
PASSED_ON = "/api/flux/webhook"  # its answer is its owner's


def answers(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What each route that makes pictures answers, as JSON, when all is well."""
    return {
        f"{method.upper()} {path} {status}": answer["content"]["application/json"]["schema"]
        for path, methods in told["paths"].items()
        if (path.startswith(PICTURES) or path in MORE) and path != PASSED_ON
        for method, operation in methods.items()
        for status, answer in operation["responses"].items()
        if status.startswith("2") and "application/json" in answer.get("content", {})
    }


def test_every_answer_of_a_route_that_makes_pictures_has_an_example() -> None:
    told = document()
    add_examples(told)
    found = answers(told)
    assert len(found) > 20
    for route, schema in found.items():
        name = str(schema.get("items", schema).get("$ref", "")).rpartition("/")[2]
        assert name in ANSWERS, route
        assert told["components"]["schemas"][name]["example"] == ANSWERS[name]


def test_examples_are_what_their_schemas_say() -> None:
    told = document()
    schemas = told["components"]["schemas"]
    for name, example in ANSWERS.items():
        whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        jsonschema_rs.validate(whole, example)
        missing = set(schemas[name]["properties"]) - set(example)
        assert not missing, name
    for route, example in EXAMPLES.items():
        method, _, path = route.partition(" ")
        for media in told["paths"][path][method.lower()]["requestBody"]["content"].values():
            schema = {**media["schema"], "components": {"schemas": schemas}}
            files = {
                field: "a file"
                for field, kind in media["schema"].get("properties", {}).items()
                if kind.get("format") == "binary"
            }
            jsonschema_rs.validate(schema, {**files, **example})
