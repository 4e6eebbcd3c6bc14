"""The pause image, made in memory: a static program of two hundred bytes, so that no pod needs an image from outside.

The program waits for SIGTERM or SIGINT and exits. It ignores SIGCHLD with SA_NOCLDWAIT, so that as process 1 of a
shared process namespace it leaves no zombies. It is written here as machine code: nothing must be compiled or
downloaded.
"""

from __future__ import annotations

import struct

from kubelet.cri_shim.image_build import BuiltImage, FileEntry, build_image

DEFAULT_PAUSE_IMAGE = "skiff.local/pause:1"
BASE = 0x400000
HEADERS = 64 + 56
MACHINES = {"x86_64": 62, "aarch64": 183}
GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

# struct sigaction {SIG_IGN, SA_NOCLDWAIT|SA_NOCLDSTOP, no restorer, empty mask}, then the set {SIGINT, SIGTERM}.
_ACTION = struct.pack("<QQQQ", 1, 3, 0, 0)
_SET = struct.pack("<Q", 1 << 1 | 1 << 14)
SIGCHLD, SIG_BLOCK, SET_SIZE = 17, 0, 8


def _x86_64() -> bytes:
    """rt_sigaction(17), rt_sigprocmask, rt_sigtimedwait until a signal comes, exit_group(0)."""

    def build(action: int, chosen: int) -> bytes:
        code = bytearray()

        def relative(opcode: bytes, target: int) -> None:
            code.extend(opcode + struct.pack("<i", target - (len(code) + len(opcode) + 4)))

        def call(number: int) -> None:
            code.extend(b"\x41\xba" + struct.pack("<i", SET_SIZE))  # mov r10d, 8
            code.extend(b"\xb8" + struct.pack("<i", number) + b"\x0f\x05")  # mov eax, number; syscall

        code.extend(b"\xbf" + struct.pack("<i", SIGCHLD))  # mov edi, SIGCHLD
        relative(b"\x48\x8d\x35", action)  # lea rsi, [action]
        code.extend(b"\x31\xd2")  # xor edx, edx
        call(13)
        code.extend(b"\x31\xff")  # xor edi, edi (SIG_BLOCK)
        relative(b"\x48\x8d\x35", chosen)
        code.extend(b"\x31\xd2")
        call(14)
        wait = len(code)
        relative(b"\x48\x8d\x3d", chosen)  # lea rdi, [set]
        code.extend(b"\x31\xf6\x31\xd2")  # xor esi, esi; xor edx, edx
        call(128)
        code.extend(b"\x48\x85\xc0")  # test rax, rax
        code.extend(b"\x78" + struct.pack("<b", wait - (len(code) + 2)))  # js wait (interrupted)
        code.extend(b"\x31\xff\xb8" + struct.pack("<i", 231) + b"\x0f\x05")  # exit_group(0)
        return bytes(code)

    size = (len(build(0, 0)) + 7) // 8 * 8
    return build(size, size + len(_ACTION)).ljust(size, b"\x90") + _ACTION + _SET


def _aarch64() -> bytes:
    def build(action: int, chosen: int) -> bytes:
        words: list[int] = []

        def mov(register: int, value: int) -> None:
            words.append(0xD2800000 | value << 5 | register)

        def adr(register: int, target: int) -> None:
            offset = target - 4 * len(words)
            words.append(0x10000000 | (offset & 3) << 29 | (offset >> 2 & 0x7FFFF) << 5 | register)

        def call(number: int) -> None:
            mov(3, SET_SIZE)
            mov(8, number)
            words.append(0xD4000001)  # svc #0

        mov(0, SIGCHLD)
        adr(1, action)
        mov(2, 0)
        call(134)
        mov(0, SIG_BLOCK)
        adr(1, chosen)
        mov(2, 0)
        call(135)
        wait = len(words)
        adr(0, chosen)
        mov(1, 0)
        mov(2, 0)
        call(137)
        words.append(0xB7F80000 | (wait - len(words) & 0x3FFF) << 5)  # tbnz x0, #63, wait (interrupted)
        mov(0, 0)
        call(94)
        return struct.pack(f"<{len(words)}I", *words)

    size = (len(build(0, 0)) + 7) // 8 * 8
    return build(size, size + len(_ACTION)).ljust(size, b"\0") + _ACTION + _SET


def pause_program(architecture: str) -> bytes:
    """A complete ELF file for that machine."""
    if architecture not in MACHINES:
        raise ValueError(f"no pause program for the architecture {architecture}")
    body = _x86_64() if architecture == "x86_64" else _aarch64()
    total = HEADERS + len(body)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", ident, 2, MACHINES[architecture], 1, BASE + HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, total, total, 0x1000)
    return header + segment + body


def pause_image(architecture: str, name: str = DEFAULT_PAUSE_IMAGE) -> BuiltImage:
    return build_image(
        name,
        [[FileEntry("/pause", pause_program(architecture), 0o755)]],
        {"Entrypoint": ["/pause"], "User": "65535:65535", "WorkingDir": "/"},
        GO_ARCHITECTURES[architecture],
    )
