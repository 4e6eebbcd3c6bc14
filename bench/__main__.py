"""`python -m bench [cluster|api|growth|store]`: measure and print a table. All but the first take flags."""

from __future__ import annotations

import sys

from bench import api, cluster, growth, store


def whole_cluster() -> None:
    print("A whole cluster on this machine; the load generator shares its cores.\n", flush=True)
    figures = cluster.run()
    width = max(len(figure.what) for figure in figures)
    for figure in figures:
        print(f"{figure.what.ljust(width)}   {figure.value}")


if __name__ == "__main__":
    which = sys.argv.pop(1) if len(sys.argv) > 1 else "cluster"
    {"cluster": whole_cluster, "api": api.main, "growth": growth.main, "store": store.main}[which]()
