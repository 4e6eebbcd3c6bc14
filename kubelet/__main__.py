"""`python -m kubelet`: flags in, the service until SIGTERM."""

import asyncio
import sys

from component_base import flags, logs
from component_base.tasks import run_service
from kubeclient.kubeconfig import KubeConfigError
from kubelet.run import host_name, run
from kubelet.settings import flags as known_flags
from kubelet.settings import from_flags


def main() -> int:
    values = known_flags().parse()
    logs.setup("kubelet", values["v"], values["logging-format"])
    try:
        settings = from_flags(values, host_name())
    except ValueError as error:
        flags.fail("kubelet", str(error))

    async def service(stop: asyncio.Event) -> None:
        try:
            await run(settings, stop)
        except (KubeConfigError, OSError) as error:
            flags.fail("kubelet", str(error))

    return run_service(service)


if __name__ == "__main__":
    sys.exit(main())
