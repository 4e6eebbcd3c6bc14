"""Which permission a path of the kubelet's API asks for: a subresource of the node, then nodes/proxy. Pure."""

_SUBRESOURCES = (
    ("/stats", "stats"),
    ("/metrics", "metrics"),
    ("/logs", "log"),
    ("/checkpoint", "checkpoint"),
    ("/statusz", "statusz"),
    ("/flagz", "flagz"),
)
_FINE = (
    ("/healthz", "healthz"),
    ("/pods", "pods"),
    ("/runningPods", "pods"),
    ("/runningpods", "pods"),
    ("/configz", "configz"),
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def verb(method: str) -> str:
    return _VERBS.get(method, "get")


def _under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


def subresources(path: str) -> list[str]:
    """Any of these allows the request, in the order in which to ask."""
    for prefix, name in _SUBRESOURCES:
        if _under(path, prefix):
            return [name]
    return [*(name for prefix, name in _FINE if _under(path, prefix)), "proxy"]
