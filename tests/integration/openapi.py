"""The API's own description, and whether what is asked and answered is what it says."""
import json
import re
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonschema

PROBLEM = "application/problem+json"


class OpenAPI:
    def __init__(self, document):
        self.document = document
        self.resolver = jsonschema.RefResolver.from_schema(document)
        self.paths = [(re.compile("^" + re.sub(r"\\{\w+\\}", "([^/]+)", re.escape(path)) + "$"), path, operations)
                      for path, operations in document["paths"].items()]
        self.paths.sort(key=lambda row: "{" in row[1])  # what is written out is meant before a pattern

    def validate(self, schema, value, what):
        try:
            jsonschema.Draft202012Validator(schema, resolver=self.resolver).validate(value)
        except jsonschema.ValidationError as problem:
            raise AssertionError(f"{what}: {problem.message} at {list(problem.absolute_path)}") from None

    def find(self, method, path):
        for pattern, template, operations in self.paths:
            match = pattern.match(path)
            if match:
                return operations.get({"HEAD": "get"}.get(method, method.lower())), re.findall(r"\{(\w+)\}", template), match.groups()
        return None, [], ()

    @staticmethod
    def typed(schema, text):
        if schema.get("type") == "integer":
            return int(text) if re.fullmatch(r"\d+", text) else text
        if schema.get("type") == "boolean":
            return {"true": True, "false": False}.get(text, text)
        return text

    def check_request(self, operation, names, values, query, body, content_type, what):
        params = {(p["in"], p["name"]): p["schema"] for p in operation["parameters"]}
        for where, name, text in [("path", n, unquote(v)) for n, v in zip(names, values)] + [("query", n, v) for n, v in query]:
            assert (where, name) in params, f"{what}: no parameter {name}"
            self.validate(params[where, name], self.typed(params[where, name], text), f"{what}: parameter {name}")
        if "requestBody" not in operation:
            return
        assert body, f"{what}: no body"
        types = operation["requestBody"]["content"]
        if content_type in (None, "application/json") or content_type not in types:
            try:
                value = json.loads(body)
            except ValueError:
                assert "application/yaml" in types, f"{what}: the body is no JSON"
                return
            self.validate(types["application/json"]["schema"], value, f"{what}: body")

    def check(self, method, target, headers, body, response):
        """One exchange: an answer must be as described, and a request that was granted, too."""
        url, what = urlsplit(target), f"{method} {target}"
        kind = response.headers.get("Content-Type")
        operation, names, values = self.find(method, url.path)
        value = json.loads(response.body) if method != "HEAD" else None
        assert kind == (PROBLEM if response.status >= 400 else "application/json"), f"{what}: {kind}"
        if operation is None:
            assert response.status in (401, 403, 404, 405, 421, 429), f"{what}: {response.status}, and it is not described"
        responses = operation["responses"] if operation else {}
        described = responses.get(str(response.status)) or (responses.get("default") if response.status >= 400 else None)
        schema = described["content"][kind]["schema"] if described else {"$ref": "#/components/schemas/Problem"}
        assert described or response.status >= 400, f"{what}: {response.status} is not described"
        if value is not None:
            self.validate(schema, value, f"{what}: answer {response.status}")
        if value is not None and response.status >= 400 and "title" in value:
            assert value["status"] == response.status and value["title"] and value["detail"]
        if response.status < 400:
            types = [v for n, v in headers if n.lower() == "content-type"]
            self.check_request(operation, names, values, parse_qsl(url.query, keep_blank_values=True), body, types[0] if types else None, what)
