"""GET /openapi.json against what the two doors accept and answer, and GET /docs, which draws it."""
import html.parser
import json
import os
import pathlib
import re
import subprocess
import time

import pytest

from service import Answer, Service, multipart

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: control groups")

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEC = json.loads((ROOT / "share/openapi.json").read_text(encoding="utf-8"))
METHODS = ("get", "post", "put", "delete")
OPERATIONS = [(path, method) for path, item in SPEC["paths"].items() for method in METHODS if method in item]
JSON = "application/json"


@pytest.fixture(scope="module")
def service(cjudge, tmp_path_factory):
    with Service(cjudge, judge="127.0.0.1:0", folder=str(tmp_path_factory.mktemp("openapi"))) as started:
        yield started
        assert started.process.poll() is None, started.log_text()


def resolve(node):
    while "$ref" in node:
        at = SPEC
        for key in node["$ref"][2:].split("/"):
            at = at[key]
        node = at
    return node


def is_type(value, name):
    return {"null": value is None, "string": isinstance(value, str), "boolean": isinstance(value, bool),
            "object": isinstance(value, dict), "array": isinstance(value, list),
            "integer": isinstance(value, int) and not isinstance(value, bool),
            "number": isinstance(value, (int, float)) and not isinstance(value, bool)}[name]


def faults(value, schema, where=""):
    """What of JSON Schema the document uses; an object has no other fields than the document names."""
    schema = resolve(schema)
    if "oneOf" in schema:
        fitting = [one for one in schema["oneOf"] if not faults(value, one)]
        return [] if len(fitting) == 1 else [f"{where}: fits {len(fitting)} of {len(schema['oneOf'])}"]
    if "const" in schema and value != schema["const"]:
        return [f"{where}: {value!r} is not {schema['const']!r}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: {value!r} is none of {schema['enum']}"]
    types = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", [])
    if types and not any(is_type(value, name) for name in types):
        return [f"{where}: {value!r} is no {types}"]
    found = []
    if isinstance(value, dict):
        found += [f"{where}.{key} is missing" for key in schema.get("required", []) if key not in value]
        known, others = schema.get("properties", {}), schema.get("additionalProperties", not schema.get("properties"))
        for key, item in value.items():
            if key in known:
                found += faults(item, known[key], f"{where}.{key}")
            elif others is False:
                found.append(f"{where}.{key} is not in the document")
            elif isinstance(others, dict):
                found += faults(item, others, f"{where}.{key}")
    if isinstance(value, list):
        found += [fault for i, item in enumerate(value) for fault in faults(item, schema.get("items", {}), f"{where}[{i}]")]
    if "minimum" in schema and isinstance(value, (int, float)) and value < schema["minimum"]:
        found.append(f"{where}: {value} is below {schema['minimum']}")
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        found.append(f"{where}: {value!r} does not match")
    return found


def door(path, example=None):
    """Which service answers there: "judging" or "execution"."""
    item = SPEC["paths"][path]
    return (example or {}).get("x-server") or item.get("servers", SPEC["servers"])[0]["description"]


def call(service, where, method, path, body=None, headers=None):
    address = service.judge_addresses[0] if where == "judging" else service.address
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers.setdefault("content-type", JSON)
    return service.request(method.upper(), path, body=body, headers=headers, connection=service.connection(address))


def fill(service, value):
    """Ids of what is there take the place of {artifact} and {file}."""
    text = json.dumps(value)
    if "{file}" in text:
        text = text.replace("{file}", service.put("nine", b"9\n"))
    if "{artifact}" in text:
        built = service.judged("/v1/build", {"language": "bash", "source": "cat"})
        text = text.replace("{artifact}", built["artifact"])
    return json.loads(text)


def path_of(service, path):
    if path.startswith("/file/"):
        return path.replace("{id}", service.put("some", b"text"))
    return path.replace("{id}", service.judged("/v1/build", {"language": "bash", "source": "cat"})["artifact"]) \
        if "{id}" in path else path


def content_of(response, kind):
    content = resolve(response)["content"]
    kind = kind if kind in content else "*/*"
    assert kind in content, f"{kind} is not in the document"
    return content[kind]["schema"]


# ---- the document ----

def test_it_is_served_as_it_stands(service, cjudge):
    answer = call(service, "judging", "get", "/openapi.json")
    assert answer.status == 200 and answer.headers["content-type"] == JSON
    assert answer.json == SPEC
    version = subprocess.run([cjudge, "--version"], capture_output=True, text=True, check=True).stdout
    assert SPEC["info"]["version"] in version and SPEC["openapi"].startswith("3.1.")


def test_its_references_lead_somewhere():
    names = set(re.findall(r'"\$ref": ?"(#[^"]+)"', json.dumps(SPEC)))
    for name in names:
        resolve({"$ref": name})
    for kind in ("schemas", "responses", "parameters"):
        for name in SPEC["components"][kind]:
            assert f"#/components/{kind}/{name}" in names, f"nothing uses {name}"
    tags = {tag["name"] for tag in SPEC["tags"]}
    ids = [SPEC["paths"][p][m]["operationId"] for p, m in OPERATIONS]
    assert len(ids) == len(set(ids))
    assert all(set(SPEC["paths"][p][m]["tags"]) <= tags for p, m in OPERATIONS)


def test_it_has_every_route():
    """The routes as their tables name them."""
    judging = (ROOT / "src/api/judge_door.c").read_text() + (ROOT / "src/api/native.c").read_text()
    named = set(re.findall(r'\.path = "([^"]+)"|\{"(/v1/[^"]+)"', judging))
    named = {a or b for a, b in named} | {"/v1/artifacts/{id}"}
    execution = re.findall(r'\{"(GET|POST|DELETE)", "([^"]+)", ROUTE_', (ROOT / "src/api/rest.c").read_text())
    assert len(named) >= 14 and len(execution) == 7
    for path in named:
        assert path in SPEC["paths"], path
    for method, path in execution:
        assert method.lower() in SPEC["paths"][path.replace("*", "{id}")], (method, path)
    assert {p for p, _ in OPERATIONS} == named | {path.replace("*", "{id}") for _, path in execution}


@pytest.mark.parametrize("path, method", OPERATIONS)
def test_every_operation_is_there(service, path, method):
    servers = SPEC["paths"][path].get("servers", SPEC["servers"])
    for where in (server["description"] for server in servers):
        answer = call(service, where, method, path_of(service, path), b"" if method == "post" else None)
        assert answer.status not in (404, 405), (where, answer)
        assert str(answer.status) in SPEC["paths"][path][method]["responses"], (where, answer)


# ---- bodies and answers ----

EXAMPLES = [(path, method, name) for path, method in OPERATIONS
            for name in SPEC["paths"][path][method].get("requestBody", {}).get("content", {}).get(JSON, {}).get("examples", {})]


@pytest.mark.parametrize("path, method, name", EXAMPLES)
def test_examples_are_accepted_and_answers_fit(service, path, method, name):
    operation = SPEC["paths"][path][method]
    media = operation["requestBody"]["content"][JSON]
    example = media["examples"][name]
    assert not faults(example["value"], media["schema"])
    for headers in ({}, {"accept": "text/event-stream"}):
        answer = call(service, door(path, example), method, path, fill(service, example["value"]), headers)
        assert answer.status == 200, answer
        kind = answer.headers["content-type"].split(";")[0]
        schema = content_of(operation["responses"]["200"], kind)
        if kind == JSON:
            assert not faults(answer.json, schema), answer
        else:
            lines = [line.removeprefix(b"data: ") for line in answer.body.splitlines() if b"{" in line]
            assert len(lines) >= 3
            for line in lines:
                event = json.loads(line)
                members = {"build": "NativeBuildFigures", "case": "NativeCaseResult", "summary": "NativeSummary"}[event["event"]]
                own = SPEC["components"]["schemas"]["NativeEvent"]["properties"]
                assert not faults(event, schema)
                assert not faults({k: v for k, v in event.items() if k not in own},
                                  {"$ref": f"#/components/schemas/{members}"}), event


def properties(schema, seen=()):
    """Every field that a body of this schema can have, as (schema, field)."""
    name = schema.get("$ref")
    if name in seen:
        return set()
    found = set()
    schema = resolve(schema)
    for key, field in schema.get("properties", {}).items():
        found |= {(key, id(field))} | properties(field, (*seen, name))
    for part in [*schema.get("oneOf", []), schema.get("items", {}), schema.get("additionalProperties", {})]:
        if isinstance(part, dict):
            found |= properties(part, (*seen, name))
    return found


def mentioned(value, schema):
    schema = resolve(schema)
    for one in schema.get("oneOf", []):
        if not faults(value, one):
            return mentioned(value, one)
    found = set()
    if isinstance(value, dict):
        others = schema.get("additionalProperties")
        for key, item in value.items():
            field = schema.get("properties", {}).get(key)
            if field is not None:
                found |= {(key, id(field))} | mentioned(item, field)
            elif isinstance(others, dict):
                found |= mentioned(item, others)
    if isinstance(value, list):
        for item in value:
            found |= mentioned(item, schema["items"])
    return found


def test_examples_have_every_field():
    """So that a field the document invents is refused by the service in the test above: the native form takes no others."""
    wanted, found = set(), set()
    for path, method in OPERATIONS:
        media = SPEC["paths"][path][method].get("requestBody", {}).get("content", {}).get(JSON)
        if media is not None:
            wanted |= properties(media["schema"])
            for example in media["examples"].values():
                found |= mentioned(example["value"], media["schema"])
    # what an example cannot have: ids of files that exist only later
    assert {key for key, _ in wanted - found} <= {"fileId"}


@pytest.mark.parametrize("path", [p for p, m in OPERATIONS if m == "get" and "{" not in p and p != "/docs"])
def test_what_is_read_fits(service, path):
    answer = call(service, door(path), "get", path)
    kind = answer.headers["content-type"].split(";")[0]
    assert answer.status == 200 and not faults(answer.json, content_of(SPEC["paths"][path]["get"]["responses"]["200"], kind))


@pytest.mark.parametrize("path, body, status", [
    ("/judge", b"\xff", 400), ("/judge", {"type": "python"}, 422), ("/judge", b"{", 422), ("/run/batch", {"submissions": []}, 422),
    ("/judge", {"type": "cobol", "solution": 1}, 422), ("/v1/judge", {"language": "c"}, 400), ("/v1/build", {"nosuch": 1}, 400),
    ("/v1/judge/batch", {}, 400)])
def test_refusals_fit(service, path, body, status):
    answer = call(service, "judging", "post", path, body, {"content-type": JSON})
    assert answer.status == status
    response = SPEC["paths"][path]["post"]["responses"][str(status)]
    assert not faults(answer.json, content_of(response, answer.headers["content-type"]))


def assert_documented(path, method, answer):
    responses = SPEC["paths"][path][method]["responses"]
    assert str(answer.status) in responses, f"{method} {path}: {answer.status} is not in the document"
    response = resolve(responses[str(answer.status)])
    if answer.status == 304 or "content" not in response:
        assert answer.body == b"", (path, answer)
        return
    kind = answer.headers["content-type"].split(";")[0]
    schema = content_of(response, kind)
    assert not faults(answer.json if kind == JSON else answer.body.decode(), schema), answer


@pytest.fixture(scope="module")
def small(cjudge, tmp_path_factory):
    """With a token, and little room."""
    with Service(cjudge, "-auth-token", "t", "-file-store-limit", "1m", "-max-body", "4m", judge="127.0.0.1:0",
                 folder=str(tmp_path_factory.mktemp("small"))) as started:
        yield started


GOOD = {"Authorization": "Bearer t"}
NOWHERE = {"cmd": [{"args": ["/bin/true"], "files": [{"content": ""}, {"name": "no/such/x", "max": 9}]}]}


@pytest.mark.parametrize("path, method, status, headers, body", [
    ("/run", "post", 401, {}, {"cmd": []}), ("/run", "post", 400, GOOD, b"{"), ("/run", "post", 500, GOOD, NOWHERE),
    pytest.param("/run", "post", 413, GOOD, b"x" * (5 << 20), id="/run-post-413"),
    ("/file", "get", 401, {}, None), ("/file", "post", 401, {}, b""), ("/file", "post", 500, GOOD, 2 << 20),
    ("/file", "post", 413, GOOD, 5 << 20),
    ("/file/{id}", "get", 200, {}, None), ("/file/{id}", "get", 206, {"Range": "bytes=1-2"}, None),
    ("/file/{id}", "get", 304, {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, None),
    ("/file/{id}", "get", 401, {"Authorization": ""}, None),
    ("/file/{id}", "get", 412, {"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:01 GMT"}, None),
    ("/file/{id}", "get", 416, {"Range": "bytes=100-"}, None), ("/file/NOSUCHID", "get", 404, GOOD, None),
    ("/file/{id}", "delete", 401, {"Authorization": ""}, None), ("/file/NOSUCHID", "delete", 404, GOOD, None),
])
def test_statuses_of_the_execution_service_are_documented(small, path, method, status, headers, body):
    def upload(content):
        form, kind = multipart("some", content, "file")
        return call(small, "execution", "post", "/file", form, {"content-type": kind, **GOOD})

    documented = path.replace("NOSUCHID", "{id}")
    if isinstance(body, int):
        answer = upload(b"x" * body)
    else:
        if "{id}" in path:
            path, headers = path.replace("{id}", upload(b"text").json), {**GOOD, **headers}
        answer = call(small, "execution", method, path, body, headers)
    assert answer.status == status, answer
    assert_documented(documented, method, answer)


def test_busy_answers_of_the_execution_service_are_documented(cjudge, tmp_path):
    with Service(cjudge, "-drain-timeout", "200ms", "-parallelism", 1, folder=str(tmp_path)) as service:
        finish = service.begin_run({"args": ["/bin/sleep", "9"], "clockLimit": 10**10, "files": []})
        time.sleep(0.5)
        service.process.terminate()
        answer = finish()
        assert answer.status == 503
        assert_documented("/run", "post", answer)
    assert {"500", "503"} <= set(SPEC["paths"]["/file"]["post"]["responses"])  # out of descriptors: as /run


# ---- the page ----

class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.loads, self.script = [], [], ""

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)
        self.loads += [value for key, value in attrs if key in ("src", "srcset", "data") or (tag == "link" and key == "href")]

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.script += data


def test_the_page_needs_nothing_else(service):
    answer = call(service, "judging", "get", "/docs")
    assert answer.status == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    text = answer.body.decode()
    page = Page()
    page.feed(text)
    assert page.open == [] and page.loads == []
    assert not re.search(r"https?://|@import|\burl\(|innerHTML|document\.write|eval\(", text)
    assert re.findall(r'fetch\("([^"]+)"', page.script) == ["openapi.json"]
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy


def test_the_page_draws_the_document(tmp_path):
    """In node, with as much of a browser as the page uses."""
    node = next((p for p in ("/usr/bin/node", "/usr/local/bin/node") if os.access(p, os.X_OK)), None)
    if node is None:
        pytest.skip("node is not installed")
    page = Page()
    page.feed((ROOT / "share/docs.html").read_text(encoding="utf-8"))
    (tmp_path / "page.js").write_text("""
class Element {
    constructor(name) { this.name = name; this.children = []; this.attributes = {}; }
    append(...nodes) { this.children.push(...nodes); }
    prepend(...nodes) { this.children.unshift(...nodes); }
    replaceChildren(...nodes) { this.children = nodes; }
    setAttribute(key, value) { this.attributes[key] = value; }
    addEventListener() {}
    get text() { return this.children.map(c => c instanceof Element ? c.text : String(c)).join(""); }
    ids() { return [this.attributes.id, ...this.children.flatMap(c => c instanceof Element ? c.ids() : [])].filter(Boolean); }
}
const parts = {main: new Element("main"), about: new Element("p")};
globalThis.document = {createElement: name => new Element(name), getElementById: id => parts[id]};
globalThis.location = {origin: "http://here:8000", hash: ""};
Object.defineProperty(globalThis, "navigator", {value: {}, configurable: true});
globalThis.fetch = async () => ({json: async () => JSON.parse(require("fs").readFileSync(process.argv[2], "utf8"))});
""" + page.script + """
setTimeout(() => console.log(JSON.stringify({ids: parts.main.ids(), text: parts.main.text, about: parts.about.text})), 50);
""", encoding="utf-8")
    run = subprocess.run([node, tmp_path / "page.js", ROOT / "share/openapi.json"], capture_output=True, text=True, timeout=30,
                         check=False)
    assert run.returncode == 0, run.stderr
    drawn = json.loads(run.stdout)
    assert "Error" not in drawn["about"], drawn["about"]
    wanted = ["op-" + SPEC["paths"][p][m]["operationId"] for p, m in OPERATIONS]
    wanted += ["schema-" + name for name in SPEC["components"]["schemas"]]
    assert sorted(drawn["ids"]) == sorted(wanted)
    assert "http://here:8000/judge" in drawn["text"] and "http://localhost:5050/run" in drawn["text"]
    assert "undefined" not in drawn["text"] and "[object" not in drawn["text"]
