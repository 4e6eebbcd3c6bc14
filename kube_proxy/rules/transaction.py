"""Text for `nft -f -` that leads from one ruleset to the next; each text is one atomic transaction of the kernel.

Order within a transaction: declare what is new, fill chains (they may now name any chain), change map elements, then
remove what nobody refers to any more. A first transaction replaces whatever an earlier life left behind.
"""

from __future__ import annotations

from kube_proxy.rules.base import TABLE, Network
from kube_proxy.rules.ruleset import Ruleset


def replace(rules: Ruleset, network: Network) -> str:
    """The whole table anew, in one transaction, whatever was there before."""
    table = f"{network.family} {TABLE}"
    lines = [f"add table {table}", f"delete table {table}", f"add table {table}"]
    return finish([*lines, *steps(Ruleset(), rules, table)])


def update(old: Ruleset, new: Ruleset, network: Network) -> str:
    """Only what differs; "" when nothing does. The size of the text follows the change, not the cluster."""
    return finish(steps(old, new, f"{network.family} {TABLE}"))


def remove(network: Network) -> str:
    """Take the table away, as `--cleanup` asks; no error when it is absent."""
    table = f"{network.family} {TABLE}"
    return finish([f"add table {table}", f"delete table {table}"])


def steps(old: Ruleset, new: Ruleset, table: str) -> list[str]:
    lines = [f"add {add_name(text, table)}" for name, text in new.sets.items() if name not in old.sets]
    changed = [name for name, rules in new.chains.items() if old.chains.get(name) != rules]
    lines += [declare(name, new.chains[name], table) for name in changed]
    lines += [f"flush chain {table} {name}" for name in changed if name in old.chains]
    for name in changed:
        lines += [f"add rule {table} {name} {rule}" for rule in new.chains[name] if not rule.startswith("{")]
    for where, wanted in new.elements.items():
        lines += element_steps(where, old.elements.get(where, {}), wanted, table)
    gone = [name for name in old.chains if name not in new.chains]
    lines += [f"flush chain {table} {name}" for name in gone]
    lines += [f"delete chain {table} {name}" for name in gone]
    lines += [f"delete set {table} {name}" for name in old.sets if name not in new.sets]
    return lines


def element_steps(where: str, old: dict[str, str], new: dict[str, str], table: str) -> list[str]:
    dropped = [key for key, verdict in old.items() if new.get(key) != verdict]
    added = [key for key, verdict in new.items() if old.get(key) != verdict]
    lines = []
    if dropped:
        lines.append(f"delete element {table} {where} {{ {', '.join(dropped)} }}")
    if added:
        pairs = (f"{key} : {new[key]}" if new[key] else key for key in added)
        lines.append(f"add element {table} {where} {{ {', '.join(pairs)} }}")
    return lines


def add_name(declaration: str, table: str) -> str:
    """`map name { … }` with the table before the name."""
    kind, name, body = declaration.split(" ", 2)
    return f"{kind} {table} {name} {body}"


def declare(name: str, rules: tuple[str, ...], table: str) -> str:
    hook = f" {rules[0]}" if rules and rules[0].startswith("{") else ""
    return f"add chain {table} {name}{hook}"


def finish(lines: list[str]) -> str:
    return "\n".join(lines) + "\n" if lines else ""
