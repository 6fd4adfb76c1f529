"""What the manifest of the benchmark says, as an addon of mitmproxy: hosts, ports, methods, paths, one credential."""

import os

from mitmproxy import http

RULES = {
    os.environ["BENCH_HOST"]: {
        "port": 443,
        "methods": {"GET", "POST"},
        "prefix": "/v1",
        "credential": "Bearer " + os.environ["BENCH_TOKEN"],
    }
}
STRIPPED = ("authorization", "cookie", "proxy-authorization", "forwarded")


def refuse(flow: http.HTTPFlow, status: int) -> None:
    flow.response = http.Response.make(status)


def is_plain(path: str) -> bool:
    """A path that every server reads alike."""
    plain = not any(it in path for it in "%;\\")
    return plain and all(it not in (".", "..") for it in path.split("/"))


def http_connect(flow: http.HTTPFlow) -> None:
    rule = RULES.get(flow.request.host)
    if rule is None or flow.request.port != rule["port"]:
        refuse(flow, 403)


def requestheaders(flow: http.HTTPFlow) -> None:
    rule = RULES.get(flow.request.pretty_host)
    if rule is None or flow.request.port != rule["port"]:
        return refuse(flow, 403)
    path = flow.request.path.split("?", 1)[0]
    below = path == rule["prefix"] or path.startswith(rule["prefix"] + "/")
    if flow.request.method not in rule["methods"] or not below or not is_plain(path):
        return refuse(flow, 403)
    for name in STRIPPED:
        flow.request.headers.pop(name, None)
    flow.request.headers["authorization"] = rule["credential"]
    flow.request.stream = True


def responseheaders(flow: http.HTTPFlow) -> None:
    flow.response.stream = True
