"""CRI log lines from a stream's raw bytes: `<time> <stream> F|P <text>`, long lines cut into pieces marked P."""

from __future__ import annotations

MAX_LINE = 16 << 10
_DAY = 86_400


def timestamp(nanoseconds: int) -> bytes:
    """UTC, RFC 3339, always nine digits of fraction."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    days, rest = divmod(seconds, _DAY)
    # Civil date from a day count, in eras of 400 years that begin on a 1st of March.
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    hour, minute, second = rest // 3600, rest // 60 % 60, rest % 60
    return b"%04d-%02d-%02dT%02d:%02d:%02d.%09dZ" % (year, month, day, hour, minute, second, fraction)


class LogFramer:
    """Turns one stream of a container into log lines; holds at most one unfinished line."""

    def __init__(self, stream: str, max_line: int = MAX_LINE) -> None:
        self._stream = stream.encode()
        self._max_line = max_line
        self._pending = b""

    def feed(self, data: bytes, now_ns: int) -> bytes:
        *lines, rest = (self._pending + data).split(b"\n")
        head = timestamp(now_ns) + b" " + self._stream
        output: list[bytes] = []
        for line in lines:
            line = self._cut(line, head, output)
            output.append(head + b" F " + line + b"\n")
        self._pending = self._cut(rest, head, output)
        return b"".join(output)

    def end(self, now_ns: int) -> bytes:
        """What is left when the stream ends without a newline."""
        if not self._pending:
            return b""
        line = timestamp(now_ns) + b" " + self._stream + b" P " + self._pending + b"\n"
        self._pending = b""
        return line

    def _cut(self, line: bytes, head: bytes, output: list[bytes]) -> bytes:
        while len(line) > self._max_line:
            output.append(head + b" P " + line[: self._max_line] + b"\n")
            line = line[self._max_line :]
        return line
