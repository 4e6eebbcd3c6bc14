"""`python -m controller_manager`: upstream's kube-controller-manager by flags, ports and Lease."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from component_base import logs
from component_base.clock import SystemClock
from component_base.flags import FlagSet, Values, fail
from component_base.tasks import run_service
from controller_manager.catalog import Manager, all_names
from kubeclient.accounts import Accounts
from kubeclient.leader import LeadershipLost
from serving.component import add_common_flags, health_server, lead_or_work, load_client
from serving.health import Health

PROGRAM = "controller_manager"
USER_AGENT = "kube-controller-manager"


def flags() -> FlagSet:
    found = FlagSet(PROGRAM, "runs the controllers that bring the cluster to the state its objects describe")
    add_common_flags(found, 10257, "kube-controller-manager")
    found.strings(
        "controllers", ("*",), f"Which to run: * for all, NAME, -NAME to leave one out; of {', '.join(all_names())}."
    )
    found.string("cluster-name", "kubernetes", "Name of the cluster.")
    found.string("cluster-cidr", "", "Range of pod addresses.")
    found.string("service-cluster-ip-range", "", "Range of Service addresses.")
    found.integer("node-cidr-mask-size", 24, "Size of each node's part of --cluster-cidr.", 1, 128)
    found.boolean("allocate-node-cidrs", False, "Give every node a part of --cluster-cidr.")
    found.boolean(
        "use-service-account-credentials",
        False,
        "Each controller writes as its own ServiceAccount in kube-system, with that account's rights and no more.",
    )
    found.string("root-ca-file", "", "Certificate that pods verify the apiserver with, published in every namespace.")
    found.string("service-account-private-key-file", "", "Key that signs tokens kept in Secrets.")
    found.string("cluster-signing-cert-file", "", "Authority that signs certificate requests.")
    found.string("cluster-signing-key-file", "", "Key of --cluster-signing-cert-file.")
    found.duration("cluster-signing-duration", 8760 * 3600.0, "Longest life of a certificate signed on request.")
    found.duration("node-monitor-grace-period", 50.0, "How long a node may be silent before it counts as unreachable.")
    found.duration("node-startup-grace-period", 60.0, "The same for a node that has never been ready.")
    found.integer("terminated-pod-gc-threshold", 12500, "Ended pods kept before the oldest are removed.")
    found.integer("concurrent-deployment-syncs", 5, "Deployments worked on at a time.", 1)
    found.integer("concurrent-replicaset-syncs", 5, "ReplicaSets worked on at a time.", 1)
    found.integer("concurrent-daemonset-syncs", 2, "DaemonSets worked on at a time.", 1)
    found.integer("concurrent-statefulset-syncs", 5, "StatefulSets worked on at a time.", 1)
    found.integer("concurrent-job-syncs", 5, "Jobs worked on at a time.", 1)
    found.integer("concurrent-cron-job-syncs", 5, "CronJobs worked on at a time.", 1)
    found.integer("concurrent-endpoint-syncs", 5, "Services whose Endpoints are worked on at a time.", 1)
    found.integer("concurrent-gc-syncs", 20, "Objects the garbage collector looks at at a time.", 1)
    found.integer("concurrent-namespace-syncs", 10, "Namespaces emptied at a time.", 1)
    return found


async def serve(values: Values, stop: asyncio.Event, folder: Path) -> int:
    clock = SystemClock()
    client = load_client(PROGRAM, values, USER_AGENT)
    health = Health()
    port = health_server(values, PROGRAM, health, client, folder, clock)
    try:
        await port.start()
    except OSError as error:
        fail(PROGRAM, f"--secure-port: {error.strerror}")
    accounts = Accounts(client, USER_AGENT, clock) if values["use-service-account-credentials"] else None
    manager = Manager(values, client, clock, accounts)
    print(f"{PROGRAM}: ready on port {values['secure-port']}", file=sys.stderr, flush=True)
    try:
        await lead_or_work(values, client, clock, stop, manager.run)
    except LeadershipLost as error:
        print(f"{PROGRAM}: {error}; ending, so that nobody works twice", file=sys.stderr)
        return 1
    finally:
        await port.stop()
        if accounts is not None:
            await accounts.close()
        await client.close()
    return 0


def main() -> None:
    values = flags().parse()
    logs.setup(PROGRAM, values["v"], values["logging-format"])
    with tempfile.TemporaryDirectory(prefix="skiff-controllers-") as folder:
        raise SystemExit(run_service(lambda stop: serve(values, stop, Path(folder))))


if __name__ == "__main__":
    main()
