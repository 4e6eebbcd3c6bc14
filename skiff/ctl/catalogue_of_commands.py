"""Every command with its line of help and the module it lies in: help and suggestions import none of them."""

from __future__ import annotations

from skiff.ctl.words import Entry

LOOK = "Look"
CHANGE = "Change"
PODS = "Work with pods"
WORKLOADS = "Work with workloads"
NODES = "Work with nodes"
CLUSTER = "The cluster and this client"

_LINES = (
    (LOOK, "get", "List objects, or show some in a format of your choice"),
    (LOOK, "describe", "Show objects in detail, with their events"),
    (LOOK, "events", "List events"),
    (LOOK, "explain", "Describe the fields of a resource"),
    (LOOK, "tree", "Show an object, what owns it and what it owns"),
    (LOOK, "why", "Say why a pod is not running"),
    (LOOK, "diff", "Show what apply would change"),
    (LOOK, "top", "Show the use of CPU and memory"),
    (CHANGE, "apply", "Make objects be as files say"),
    (CHANGE, "create", "Create objects from files or flags"),
    (CHANGE, "delete", "Delete objects"),
    (CHANGE, "edit", "Edit an object in $EDITOR"),
    (CHANGE, "patch", "Change fields of objects"),
    (CHANGE, "replace", "Replace objects by those in files"),
    (CHANGE, "label", "Set or remove labels"),
    (CHANGE, "annotate", "Set or remove annotations"),
    (CHANGE, "wait", "Wait until objects meet a condition"),
    (PODS, "logs", "Print what containers wrote"),
    (PODS, "exec", "Run a command in a container"),
    (PODS, "attach", "Attach to the process of a container"),
    (PODS, "cp", "Copy files into and out of containers"),
    (PODS, "run", "Run an image in a pod"),
    (WORKLOADS, "scale", "Set how many replicas there are"),
    (WORKLOADS, "rollout", "Watch, undo, restart and pause rollouts"),
    (WORKLOADS, "set", "Set images or environment variables"),
    (WORKLOADS, "expose", "Make a service for an object"),
    (NODES, "cordon", "Let no new pods onto a node"),
    (NODES, "uncordon", "Let pods onto a node again"),
    (NODES, "drain", "Move all pods off a node"),
    (NODES, "taint", "Set or remove taints of nodes"),
    (CLUSTER, "api-resources", "List the resources the server has"),
    (CLUSTER, "api-versions", "List the API versions the server has"),
    (CLUSTER, "cluster-info", "Show where the cluster is"),
    (CLUSTER, "auth", "Ask who you are and what you may do"),
    (CLUSTER, "config", "Show and change the kubeconfig"),
    (CLUSTER, "version", "Show the versions of client and server"),
)

_MODULES = {"exec": "execute", "api-resources": "api", "api-versions": "api", "cluster-info": "cluster"}
_MODULES |= {"cordon": "nodes", "uncordon": "nodes", "drain": "nodes", "label": "label", "annotate": "label"}

COMMANDS: dict[str, Entry] = {
    name: Entry(f"skiff.ctl.commands.{_MODULES.get(name, name)}", name.replace("-", "_"), line, section)
    for section, name, line in _LINES
}
