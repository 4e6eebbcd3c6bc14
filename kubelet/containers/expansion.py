"""$(NAME) references in env values, commands, args and subPathExpr: $$ escapes, unknown names stay as written."""

from collections.abc import Callable, Mapping


def expand(text: str, values: Mapping[str, str]) -> str:
    return _expand(text, lambda name: values.get(name, f"$({name})"))


def expand_strict(text: str, values: Mapping[str, str]) -> str:
    """As `expand`, but an unknown name is an error (a path with a literal $(X) would be a trap)."""

    def look_up(name: str) -> str:
        if name not in values:
            raise KeyError(name)
        return values[name]

    return _expand(text, look_up)


def _expand(text: str, look_up: Callable[[str], str]) -> str:
    out: list[str] = []
    position = 0
    while position < len(text):
        char = text[position]
        following = text[position + 1 : position + 2]
        if char == "$" and following == "$":
            out.append("$")
            position += 2
        elif char == "$" and following == "(" and (end := text.find(")", position + 2)) >= 0:
            out.append(look_up(text[position + 2 : end]))
            position = end + 1
        else:
            out.append(char)
            position += 1
    return "".join(out)
