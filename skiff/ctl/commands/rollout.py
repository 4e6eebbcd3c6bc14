"""`rollout`: the commands below it, and which types roll out."""

from __future__ import annotations

from skiff.ctl.words import Entry, Group

_MODULE = "skiff.ctl.commands.rollout_changes"

rollout_command = Group(
    "rollout",
    help="Watch, undo, restart and pause rollouts of deployments, daemon sets and stateful sets.",
    commands_below={
        "status": Entry("skiff.ctl.commands.rollout_status", "status", "Show how far a rollout is, until it is done"),
        "history": Entry("skiff.ctl.commands.rollout_history", "history", "List revisions, or show one"),
        "undo": Entry("skiff.ctl.commands.rollout_history", "undo", "Go back to an earlier revision"),
        "restart": Entry(_MODULE, "restart", "Replace all pods, one after the other"),
        "pause": Entry(_MODULE, "pause", "Let changes of a deployment wait"),
        "resume": Entry(_MODULE, "resume", "Let changes of a deployment happen again"),
    },
)
