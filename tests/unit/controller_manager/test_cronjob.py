"""Jobs by schedule: which moments get one, what happens when one still runs, what is kept."""

from typing import Any

import pytest

from controller_manager.cronjob.controller import SCHEDULED, CronJobController
from tests.unit.controller_manager.caches import NOW, creates, deletes, events, owner
from tests.unit.controller_manager.world import World

CRONS = "/apis/batch/v1/cronjobs"
JOBS = "/apis/batch/v1/jobs"
KEY = "x/report"
HOUR = 3600.0


class Crons(World):
    def __init__(self, **spec: Any) -> None:
        super().__init__()
        self.controller = CronJobController(self.caches.informers)
        pod = {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"template": pod}}
        whole = {"schedule": "0 * * * *", "concurrencyPolicy": "Allow", "jobTemplate": template, **spec}
        self.put(CRONS, {"metadata": {"name": "report", "namespace": "x", "generation": 1}, "spec": whole})

    @property
    def state(self) -> dict[str, Any]:
        return self.status(CRONS, "report")

    def finish_job(self, name: str, kind: str = "Complete") -> None:
        body = self.objects[JOBS, name]
        end = {"type": kind, "status": "True", "lastTransitionTime": "2027-01-15T08:30:00Z"}
        times = {"startTime": body["metadata"]["creationTimestamp"], "completionTime": "2027-01-15T08:30:00Z"}
        self.put(JOBS, {**body, "status": {"conditions": [end], **times}})

    def round(self) -> None:
        for _ in range(4):
            self.step(KEY)


def test_a_job_is_made_for_the_moment_it_is_due() -> None:
    crons = Crons()
    plan = crons.step(KEY)
    assert plan.requeue_after == pytest.approx(HOUR + 0.1)
    (made,) = creates(plan)
    assert made.body["metadata"]["name"] == f"report-{int(NOW) // 60}"
    assert made.body["metadata"]["labels"] == {"a": "b"}
    assert made.body["metadata"]["annotations"] == {SCHEDULED: "2027-01-15T08:00:00Z"}
    assert made.body["metadata"]["ownerReferences"] == [owner("CronJob", "report", "batch/v1")]
    assert crons.state["lastScheduleTime"] == "2027-01-15T08:00:00Z"
    assert not creates(crons.step(KEY)), "once"
    (active,) = crons.state["active"]
    assert (active["kind"], active["name"], active["apiVersion"]) == ("Job", crons.made[0], "batch/v1")


def test_nothing_before_the_first_moment() -> None:
    crons = Crons(schedule="30 * * * *")
    plan = crons.step(KEY)
    assert plan.is_empty
    assert plan.requeue_after == pytest.approx(1800.1)


def test_an_ended_job_leaves_the_active_ones_and_is_remembered() -> None:
    crons = Crons()
    crons.round()
    crons.finish_job(crons.made[0])
    plan = crons.step(KEY)
    assert ("SawCompletedJob", f"Saw completed job: {crons.made[0]}, condition: Complete") in events(plan)
    assert "active" not in crons.state
    assert crons.state["lastSuccessfulTime"] == "2027-01-15T08:30:00Z"


def test_missed_moments_get_one_job_for_the_latest() -> None:
    crons = Crons()
    crons.now += 5 * HOUR + 60
    crons.round()
    assert crons.made == [f"report-{int(NOW + 5 * HOUR) // 60}"]


def test_a_moment_that_is_too_long_ago_is_left_out() -> None:
    crons = Crons(startingDeadlineSeconds=30)
    crons.now += 60
    plan = crons.step(KEY)
    assert not creates(plan)
    crons.now = NOW + HOUR + 20
    assert len(creates(crons.step(KEY))) == 1


@pytest.mark.parametrize(("policy", "made", "removed"), [("Allow", 2, 0), ("Forbid", 1, 0), ("Replace", 2, 1)])
def test_what_happens_while_one_still_runs(policy: str, made: int, removed: int) -> None:
    crons = Crons(concurrencyPolicy=policy)
    crons.round()
    crons.now += HOUR
    plan = crons.step(KEY)
    crons.round()
    assert (len(crons.made), len(deletes(plan))) == (made, removed)
    assert len(crons.state["active"]) == made - removed


def test_forbidden_jobs_start_when_the_running_one_ended() -> None:
    crons = Crons(concurrencyPolicy="Forbid")
    crons.round()
    crons.now += HOUR
    crons.round()
    crons.finish_job(crons.made[0])
    crons.round()
    assert len(crons.made) == 2


def test_a_suspended_one_makes_nothing() -> None:
    assert Crons(suspend=True).step(KEY).is_empty


def test_ended_jobs_beyond_the_limits_go_oldest_first() -> None:
    crons = Crons(successfulJobsHistoryLimit=1, failedJobsHistoryLimit=0)
    for hour, end in enumerate(("Complete", "Failed", "Complete")):
        crons.now = NOW + hour * HOUR
        crons.round()
        crons.finish_job(crons.made[-1], end)
        crons.round()
    assert list(crons.all(JOBS)) == [crons.made[2]]


def test_a_time_zone_moves_the_hours() -> None:
    crons = Crons(schedule="0 9 * * *", timeZone="Europe/Berlin")  # 08:00 UTC in January
    (made,) = creates(crons.step(KEY))
    assert made.body["metadata"]["annotations"][SCHEDULED] == "2027-01-15T09:00:00+01:00"


def test_what_cannot_be_read_is_told() -> None:
    assert [r for r, _ in events(Crons(timeZone="Nowhere/Else").step(KEY))] == ["UnknownTimeZone"]
    assert [r for r, _ in events(Crons(schedule="61 * * * *").step(KEY))] == ["UnparseableSchedule"]


def test_too_many_missed_moments_are_told_and_the_latest_is_made_up() -> None:
    crons = Crons(schedule="* * * * *")
    crons.now += 200 * 60
    plan = crons.step(KEY)
    assert [reason for reason, _ in events(plan)] == ["TooManyMissedTimes"]
    assert len(creates(plan)) == 1


def test_a_job_that_somebody_made_by_hand_is_noticed_and_not_active() -> None:
    crons = Crons(suspend=True)
    meta = {"name": "manual", "namespace": "x", "ownerReferences": [owner("CronJob", "report", "batch/v1")]}
    crons.put(JOBS, {"metadata": meta, "spec": {}})
    plan = crons.step(KEY)
    assert [reason for reason, _ in events(plan)] == ["UnexpectedJob"]
    assert not crons.state


def test_an_active_job_that_went_missing_is_dropped() -> None:
    crons = Crons()
    crons.round()
    crons.drop(JOBS, crons.made[0])
    plan = crons.step(KEY)
    assert [reason for reason, _ in events(plan)] == ["MissingJob"]
    assert "active" not in crons.state
