"""Jobs from their first pod to their last condition; every status on the way must pass the apiserver's validation."""

from typing import Any

import pytest

from apimachinery.validation import job_status
from controller_manager.job import indexes
from controller_manager.job.controller import JobController
from controller_manager.job.ttl import TtlAfterFinishedController
from controller_manager.job.views import FINALIZER, INDEX
from kubeclient.plan import Delete, Patch
from tests.unit.controller_manager.caches import NOW, Caches, actions, creates, deletes
from tests.unit.controller_manager.world import PODS, World

JOBS = "/apis/batch/v1/jobs"
KEY = "x/sum"


def job(**spec: Any) -> dict[str, Any]:
    labels = {"batch.kubernetes.io/job-name": "sum"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
    }
    meta = {"name": "sum", "namespace": "x", "generation": 1}
    whole = {"selector": {"matchLabels": labels}, "template": template, "parallelism": 1, "backoffLimit": 6}
    if not {"parallelism", "completions"} & spec.keys():
        spec["completions"] = 1
    return {"metadata": meta, "spec": {**whole, **spec}}


class Jobs(World):
    def __init__(self, **spec: Any) -> None:
        super().__init__()
        self.controller = JobController(self.caches.informers)
        self.put(JOBS, job(**spec))

    def patch(self, action: Patch) -> None:
        before = self.objects.get((JOBS, "sum"))
        super().patch(action)
        if before is not None and action.path.endswith("/status"):
            assert not job_status.update(self.objects[JOBS, "sum"], before)
        for name, body in self.pods.items():
            meta = body["metadata"]
            if meta.get("deletionTimestamp") and not meta.get("finalizers"):
                self.drop(PODS, name)

    def end(self, phase: str = "Succeeded", count: int = 1, **status: Any) -> None:
        running = [n for n, body in self.pods.items() if body["status"]["phase"] == "Running"]
        for name in running[:count]:
            self.finish(name, phase, **status)

    @property
    def state(self) -> dict[str, Any]:
        return self.status(JOBS, "sum")

    def conditions(self) -> dict[str, str]:
        return {c["type"]: c.get("reason", "") for c in self.state.get("conditions", ()) if c["status"] == "True"}

    def counts(self) -> tuple[int, int, int]:
        return tuple(self.state.get(field, 0) for field in ("active", "succeeded", "failed"))

    def indexes(self) -> list[int]:
        return sorted(
            int(body["metadata"]["annotations"][INDEX])
            for body in self.pods.values()
            if body["status"]["phase"] in ("Running", "Pending")
        )


def test_a_job_makes_its_pod_counts_it_and_is_complete() -> None:
    jobs = Jobs()
    jobs.settle(KEY)
    (pod,) = jobs.pods.values()
    assert pod["metadata"]["finalizers"] == [FINALIZER]
    assert pod["metadata"]["generateName"] == "sum-"
    assert (jobs.counts(), jobs.state["ready"]) == ((1, 0, 0), 1)
    jobs.end()
    jobs.settle(KEY)
    assert jobs.counts() == (0, 1, 0)
    assert jobs.conditions() == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
    assert jobs.state["completionTime"]
    assert jobs.state["uncountedTerminatedPods"] == {}
    assert not next(iter(jobs.pods.values()))["metadata"]["finalizers"]
    assert jobs.events == [("Completed", "Job completed")]


def test_a_pod_is_in_the_status_before_its_finalizer_goes() -> None:
    jobs = Jobs()
    jobs.settle(KEY)
    jobs.end()
    plan = jobs.controller.reconcile(KEY, NOW)
    status, finalizer = (next(a for a in batch if isinstance(a, Patch)) for batch in plan.batches if batch)
    uid = next(iter(jobs.pods.values()))["metadata"]["uid"]
    assert status.body["status"]["uncountedTerminatedPods"]["succeeded"] == [uid]
    assert finalizer.body["metadata"]["$deleteFromPrimitiveList/finalizers"] == [FINALIZER]


def test_parallel_pods_up_to_what_is_missing() -> None:
    jobs = Jobs(parallelism=3, completions=5)
    jobs.settle(KEY)
    assert jobs.counts() == (3, 0, 0)
    jobs.end(count=2)
    jobs.settle(KEY)
    assert jobs.counts() == (3, 2, 0)
    jobs.end(count=2)
    jobs.settle(KEY)
    assert jobs.counts() == (1, 4, 0)
    jobs.end()
    jobs.settle(KEY)
    assert (jobs.counts(), "Complete" in jobs.conditions()) == ((0, 5, 0), True)


def test_a_work_queue_is_done_when_one_succeeded_and_all_ended() -> None:
    jobs = Jobs(parallelism=2)
    jobs.settle(KEY)
    jobs.end()
    jobs.settle(KEY)
    assert (jobs.counts(), jobs.conditions()) == ((1, 1, 0), {})
    jobs.end()
    jobs.settle(KEY)
    assert (jobs.counts(), "Complete" in jobs.conditions()) == ((0, 2, 0), True)


def test_a_failed_pod_is_replaced_later_each_time() -> None:
    jobs = Jobs()
    jobs.settle(KEY)
    for wait in (10, 20, 40):
        terminated = {"exitCode": 1, "finishedAt": at(jobs)}
        jobs.end("Failed", containerStatuses=[{"name": "c", "state": {"terminated": terminated}}])
        jobs.settle(KEY)
        assert jobs.step(KEY).requeue_after == wait
        jobs.now += wait
        jobs.settle(KEY)
        assert jobs.counts()[0] == 1


def at(jobs: Jobs) -> str:
    seconds = int(jobs.now - NOW)
    return f"2027-01-15T08:{seconds // 60:02}:{seconds % 60:02}Z"


def test_beyond_the_backoff_limit_the_job_fails_and_what_runs_is_removed() -> None:
    jobs = Jobs(parallelism=2, completions=2, backoffLimit=0)
    jobs.settle(KEY)
    jobs.end("Failed")
    jobs.settle(KEY)
    assert jobs.conditions() == {"FailureTarget": "BackoffLimitExceeded", "Failed": "BackoffLimitExceeded"}
    assert jobs.counts() == (0, 0, 2)
    assert jobs.events == [("BackoffLimitExceeded", "Job has reached the specified backoff limit")]
    assert not [p for p in jobs.pods.values() if p["metadata"].get("finalizers")]


def test_restarts_count_where_containers_are_restarted() -> None:
    jobs = Jobs(backoffLimit=2)
    template = job()["spec"]["template"]
    jobs.change(JOBS, "sum", template={**template, "spec": {**template["spec"], "restartPolicy": "OnFailure"}})
    jobs.settle(KEY)
    jobs.finish(next(iter(jobs.pods)), "Running", containerStatuses=[{"name": "c", "restartCount": 2}])
    jobs.settle(KEY)
    assert jobs.conditions()["Failed"] == "BackoffLimitExceeded"


def test_a_deadline_ends_the_job() -> None:
    jobs = Jobs(activeDeadlineSeconds=30)
    jobs.settle(KEY)
    assert jobs.step(KEY).requeue_after == 30
    jobs.now += 30
    jobs.settle(KEY)
    assert jobs.conditions()["Failed"] == "DeadlineExceeded"


def test_a_suspended_job_has_no_pods_and_starts_anew() -> None:
    jobs = Jobs(suspend=True)
    jobs.settle(KEY)
    assert (jobs.pods, jobs.conditions()) == ({}, {"Suspended": "JobSuspended"})
    assert "startTime" not in jobs.state
    jobs.change(JOBS, "sum", suspend=False)
    jobs.settle(KEY)
    assert (len(jobs.pods), jobs.conditions()) == (1, {})
    jobs.change(JOBS, "sum", suspend=True)
    jobs.settle(KEY)
    assert (len(jobs.pods), jobs.counts()) == (0, (0, 0, 0)), "not counted as failed"
    assert [reason for reason, _ in jobs.events] == ["Suspended", "Resumed", "Suspended"]


def test_less_parallelism_removes_pods_without_counting_them() -> None:
    jobs = Jobs(parallelism=3, completions=9)
    jobs.settle(KEY)
    jobs.change(JOBS, "sum", parallelism=1)
    jobs.settle(KEY)
    assert jobs.counts() == (1, 0, 0)


def test_an_indexed_job_runs_each_index_once() -> None:
    jobs = Jobs(parallelism=2, completions=4, completionMode="Indexed")
    jobs.settle(KEY)
    assert jobs.indexes() == [0, 1]
    pod = next(iter(jobs.pods.values()))
    assert pod["spec"]["hostname"] == "sum-0"
    assert pod["metadata"]["labels"][INDEX] == "0"
    assert pod["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
    jobs.end(count=2)
    jobs.settle(KEY)
    assert (jobs.indexes(), jobs.state["completedIndexes"]) == ([2, 3], "0,1")
    jobs.end(count=2)
    jobs.settle(KEY)
    assert (jobs.state["completedIndexes"], "Complete" in jobs.conditions()) == ("0-3", True)
    assert jobs.counts() == (0, 4, 0)


def test_an_index_fails_alone_when_it_has_a_limit_of_its_own() -> None:
    jobs = Jobs(
        parallelism=2, completions=2, completionMode="Indexed", backoffLimitPerIndex=1, backoffLimit=2**31 - 1
    )  # fmt: skip
    jobs.settle(KEY)
    first = next(name for name, body in jobs.pods.items() if body["metadata"]["annotations"][INDEX] == "0")
    jobs.finish(first, "Failed")
    jobs.now += 100
    jobs.settle(KEY)
    again = [b for n, b in jobs.pods.items() if n != first and b["metadata"]["annotations"][INDEX] == "0"]
    assert again[0]["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] == "1"
    jobs.finish(again[0]["metadata"]["name"], "Failed")
    jobs.settle(KEY)
    assert jobs.state["failedIndexes"] == "0"
    assert not jobs.conditions()
    jobs.end()
    jobs.settle(KEY)
    assert jobs.conditions()["Failed"] == "FailedIndexes"
    assert (jobs.state["completedIndexes"], jobs.state["failed"]) == ("1", 2)


def test_a_success_policy_ends_the_job_early() -> None:
    policy = {"rules": [{"succeededIndexes": "0", "succeededCount": 1}]}
    jobs = Jobs(parallelism=3, completions=3, completionMode="Indexed", successPolicy=policy)
    jobs.settle(KEY)
    jobs.end()
    jobs.settle(KEY)
    assert jobs.conditions() == {"SuccessCriteriaMet": "SuccessPolicy", "Complete": "SuccessPolicy"}
    assert jobs.counts()[0] == 0


@pytest.mark.parametrize(
    ("action", "failed", "ends"), [("FailJob", 1, "PodFailurePolicy"), ("Ignore", 0, ""), ("Count", 1, "")]
)
def test_a_failure_policy_says_what_an_exit_code_means(action: str, failed: int, ends: str) -> None:
    rule = {"action": action, "onExitCodes": {"operator": "In", "values": [42]}}
    jobs = Jobs(podFailurePolicy={"rules": [rule]}, podReplacementPolicy="Failed")
    jobs.settle(KEY)
    name = next(iter(jobs.pods))
    jobs.end("Failed", containerStatuses=[{"name": "c", "state": {"terminated": {"exitCode": 42}}}])
    jobs.settle(KEY)
    assert jobs.state.get("failed", 0) == failed
    assert jobs.conditions().get("Failed", "") == ends
    if ends:
        message = f"Container c for pod x/{name} failed with exit code 42 matching FailJob rule at index 0"
        assert jobs.events == [("PodFailurePolicy", message)]


def test_pods_of_a_job_that_is_gone_lose_the_finalizer() -> None:
    jobs = Jobs()
    jobs.settle(KEY)
    jobs.drop(JOBS, "sum")
    jobs.step(KEY)
    assert not next(iter(jobs.pods.values()))["metadata"]["finalizers"]


def test_a_job_that_is_being_deleted_lets_its_pods_go_and_makes_none() -> None:
    jobs = Jobs(parallelism=2, completions=2)
    jobs.settle(KEY)
    body = jobs.objects[JOBS, "sum"]
    jobs.put(JOBS, {**body, "metadata": {**body["metadata"], "deletionTimestamp": "2027-01-15T08:00:00Z"}})
    jobs.drop(PODS, next(iter(jobs.pods)))
    plan = jobs.step(KEY)
    assert not creates(plan)
    assert not next(iter(jobs.pods.values()))["metadata"]["finalizers"]


def test_a_job_that_another_controller_manages_is_left_alone() -> None:
    jobs = Jobs(managedBy="example.com/queue")
    assert jobs.step(KEY).is_empty


def test_a_finished_job_goes_after_its_time() -> None:
    caches = Caches()
    controller = TtlAfterFinishedController(caches.informers)
    done = {"type": "Complete", "status": "True", "lastTransitionTime": "2027-01-15T08:00:00Z"}
    caches.put(JOBS, {**job(ttlSecondsAfterFinished=60), "status": {"conditions": [done]}})
    assert controller.reconcile(KEY, NOW).requeue_after == 60
    plan = controller.reconcile(KEY, NOW + 60)
    assert deletes(plan) == ["sum"]
    (delete,) = actions(plan)
    assert isinstance(delete, Delete)
    assert (delete.propagation, delete.uid) == ("Foreground", "uid-sum")
    caches.put(JOBS, job(ttlSecondsAfterFinished=60))
    assert controller.reconcile(KEY, NOW).is_empty


def test_indexes_are_written_as_intervals() -> None:
    assert indexes.text([]) == ""
    assert indexes.text([5, 1, 3, 4, 7, 8]) == "1,3-5,7,8"
