"""The Common Expression Language as Kubernetes has it: text to a checked, costed Python closure.

    program = Environment({"object": DYN}).compile("object.spec.replicas <= 5")
    program.run({"object": deployment}, Budget())

Values are JSON's (see `values`); errors carry cel-go's texts (see `errors`). No expression can run long: every
evaluation has a cost limit, and regular expressions run in time linear in the text (see `regex`).
"""

from apimachinery.cel.environment import MATCH_CONDITIONS_BUDGET, Budget, Environment, Program
from apimachinery.cel.errors import (
    CelCompileError,
    CelError,
    CelSyntaxError,
    CelTypeError,
    CostExceeded,
    OutOfBudget,
)
from apimachinery.cel.types import BOOL, DYN, STRING, Type

__all__ = [
    "BOOL",
    "DYN",
    "MATCH_CONDITIONS_BUDGET",
    "STRING",
    "Budget",
    "CelCompileError",
    "CelError",
    "CelSyntaxError",
    "CelTypeError",
    "CostExceeded",
    "Environment",
    "OutOfBudget",
    "Program",
    "Type",
]
