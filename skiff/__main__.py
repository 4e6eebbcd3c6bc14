"""`skiff`: make, look after and remove a cluster on this host."""

from __future__ import annotations

import click

from skiff.commands.image import image
from skiff.commands.join import join
from skiff.commands.lifecycle import certs, doctor, down, logs, show_status
from skiff.commands.token import token
from skiff.commands.up import up


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="skiff-cluster")
def main() -> None:
    """A Kubernetes-compatible cluster on this host."""


for command in (up, down, show_status, doctor, logs, certs, image, token, join):
    main.add_command(command)

if __name__ == "__main__":
    main()
