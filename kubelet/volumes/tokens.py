"""Service account tokens for projected volumes: asked for once, renewed at 80 % of their life or after a day."""

from dataclasses import dataclass

from component_base.clock import Clock
from kubelet import times
from kubelet.api import Api
from kubelet.pod import Pod, TokenSource
from kubelet.volumes.payload import TokenKey

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    issued: float
    expires: float

    @property
    def renew_at(self) -> float:
        return min(self.issued + 0.8 * (self.expires - self.issued), self.issued + DAY)


class TokenStore:
    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._tokens: dict[tuple[str, TokenKey], _Token] = {}

    async def get(self, pod: Pod, source: TokenSource) -> str:
        key = (pod.uid, (source.audience, source.expiration_seconds))
        known = self._tokens.get(key)
        now = self._clock.now()
        if known is not None and now < known.renew_at:
            return known.text
        account = pod.spec.service_account_name or "default"
        path = f"/api/v1/namespaces/{pod.metadata.namespace}/serviceaccounts/{account}/token"
        spec = {
            "audiences": [source.audience] if source.audience else [],
            "expirationSeconds": source.expiration_seconds,
            "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": pod.metadata.name, "uid": pod.uid},
        }
        answer = await self._api.create(
            path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        )
        status = answer["status"]
        self._tokens[key] = _Token(status["token"], now, times.parse(status["expirationTimestamp"]))
        return str(status["token"])

    def renew_at(self, uid: str) -> float | None:
        return min((t.renew_at for (owner, _), t in self._tokens.items() if owner == uid), default=None)

    def forget(self, uid: str) -> None:
        for key in [k for k in self._tokens if k[0] == uid]:
            del self._tokens[key]
