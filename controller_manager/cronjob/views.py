"""CronJobs as their controller reads them."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from kubeclient.views import Meta


class JobReference(Struct, frozen=True, omit_defaults=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    apiVersion: str = ""
    resourceVersion: str = ""


class CronJobSpec(Struct, frozen=True):
    schedule: str
    timeZone: str | None = None
    startingDeadlineSeconds: int | None = None
    concurrencyPolicy: str = "Allow"
    suspend: bool = False
    successfulJobsHistoryLimit: int | None = 3
    failedJobsHistoryLimit: int | None = 1
    jobTemplate: msgspec.Raw = msgspec.Raw(b"{}")


class CronJobStatus(Struct, frozen=True):
    active: list[JobReference] = field(default_factory=list)
    lastScheduleTime: str | None = None
    lastSuccessfulTime: str | None = None


class CronJob(Struct, frozen=True):
    metadata: Meta
    spec: CronJobSpec
    status: CronJobStatus = CronJobStatus()

    @property
    def path(self) -> str:
        return f"/apis/batch/v1/namespaces/{self.metadata.namespace}/cronjobs/{self.metadata.name}"
