"""JSON Schema: building blocks, and the registry of named components of `/openapi.json`."""

from typing import Any

Schema = dict[str, Any]

COMPONENTS: dict[str, Schema] = {}
"""The schemas of `components.schemas` by name."""

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
ANY: Schema = {}
BINARY: Schema = {"type": "string", "format": "binary"}
TIME: Schema = {"type": "integer", "description": "UNIX seconds, UTC"}
INSTANT: Schema = {
    "anyOf": [
        {"type": "integer", "minimum": -99_999_999_999, "maximum": 99_999_999_999},
        {"type": "string", "format": "date-time"},
    ]
}


def component(name: str, schema: Schema) -> Schema:
    """Register a schema under a name and return a reference to it."""
    assert name not in COMPONENTS, f"two components are named {name}"
    COMPONENTS[name] = schema
    return {"$ref": f"#/components/schemas/{name}"}


def one_of(*values: str) -> Schema:
    """Return the schema of a text that is one of these values."""
    return {"type": "string", "enum": [*values]}


def array(items: Schema, **limits: int) -> Schema:
    """Return the schema of an array; `limits` are `minItems` and `maxItems`."""
    return {"type": "array", "items": items, **limits}


def table(values: Schema) -> Schema:
    """Return the schema of an object with any names and values of one schema."""
    return {"type": "object", "additionalProperties": values}


def or_null(schema: Schema) -> Schema:
    """Return the schema of a value that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def record(properties: dict[str, Schema]) -> Schema:
    """Return the schema of an object with exactly these properties."""
    return open_record(properties) | {"additionalProperties": False}


def open_record(properties: dict[str, Schema], *optional: str) -> Schema:
    """Return the schema of an object with these properties, required unless named, and others."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}
