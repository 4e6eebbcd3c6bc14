"""What can go wrong with an expression: before it runs (`CelCompileError`) and while it runs (`CelError`)."""

from __future__ import annotations

from dataclasses import dataclass

_WIDEST_SNIPPET = 16_384
_MOST = 100


@dataclass(frozen=True, slots=True)
class Issue:
    """One complaint about a place in the text; `line` counts from 1, `column` from 0, -1 and 0 for nowhere."""

    line: int
    column: int
    message: str

    def render(self, text: str) -> str:
        """As cel-go shows it: the place, the sentence, the line and an arrow."""
        shown = f"ERROR: <input>:{self.line}:{self.column + 1}: {self.message}"
        lines = text.split("\n")
        if not 1 <= self.line <= len(lines) or len(lines[self.line - 1]) > _WIDEST_SNIPPET:
            return shown
        line = lines[self.line - 1].replace("\t", " ")
        dots = "".join("." if char < "\x80" else "\uff0e" for char in line[: self.column])
        arrow = "\uff3e" if line[self.column : self.column + 1] > "\x7f" else "^"
        return f"{shown}\n | {line}\n | {dots}{arrow}"


class CelCompileError(Exception):
    """An expression that cannot be run. `str` is the text upstream's compiler reports, one issue after the other."""

    def __init__(self, text: str, issues: list[Issue]) -> None:
        ordered = sorted(issues, key=lambda issue: (issue.line, issue.column))
        shown = [issue.render(text) for issue in ordered[:_MOST]]
        if len(ordered) > _MOST:
            shown.append(f"{len(ordered) - _MOST} more errors were truncated")
        super().__init__("\n".join(shown))
        self.issues = ordered


class CelSyntaxError(CelCompileError):
    """The text is not in the language."""


class CelTypeError(CelCompileError):
    """Names, fields or types do not fit."""


class CelError(Exception):
    """The evaluation has no value. The text is cel-go's ("no such key: x")."""


class CostExceeded(CelError):
    """One evaluation cost more than one may."""

    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")


class OutOfBudget(CostExceeded):
    """All the evaluations that share a budget cost more than they may together; no more should be tried."""

    def __init__(self) -> None:
        text = "validation failed due to running out of cost budget, no further validation rules will be run"
        CelError.__init__(self, text)


def no_such_overload(what: str = "") -> CelError:
    return CelError(f"no such overload: {what}" if what else "no such overload")
