"""`skiff.local/toolbox:latest`: busybox with all its applets, made from the host's static busybox.

Shell, wget, nslookup, ping and `httpd` for tests and examples, on machines that can pull no image. Its default command
is `web 8080`: it serves /www, `GET /cgi-bin/hostname` answers with the pod's name, and it ends on SIGTERM.
"""

from __future__ import annotations

import os
import subprocess

from kubelet.cri_shim.image_build import BuiltImage, FileEntry, build_image

TOOLBOX_IMAGE = "skiff.local/toolbox:latest"
CANDIDATES = ("/bin/busybox", "/usr/bin/busybox", "/usr/bin/busybox.static")
ELF = b"\x7fELF"

_PASSWD = "root:x:0:0:root:/root:/bin/sh\nwww:x:82:82:www:/www:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_GROUP = "root:x:0:\nwww:x:82:\nnogroup:x:65534:\n"
_HOSTNAME_CGI = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nhostname\n"
# As process 1 httpd would ignore SIGTERM: the shell in front of it ends at once instead.
_WEB = """#!/bin/sh
trap 'exit 0' TERM INT
httpd -f -p "${1:-8080}" -h /www &
wait $!
"""


class NoBusyboxError(Exception):
    """There is no static busybox on this host; the message says how to get one."""


def find_busybox() -> str:
    for path in CANDIDATES:
        if os.access(path, os.X_OK):
            return path
    raise NoBusyboxError("no busybox found: install the package busybox-static")


def applets(busybox: str) -> list[str]:
    listing = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    return sorted(set(listing.stdout.split()) - {"busybox"})


def toolbox_image(architecture: str = "amd64", name: str = TOOLBOX_IMAGE, busybox: str = "") -> BuiltImage:
    path = busybox or find_busybox()
    with open(path, "rb") as file:
        program = file.read()
    if not program.startswith(ELF) or b"/ld-linux" in program or b"/ld-musl" in program:
        raise NoBusyboxError(f"{path} is not a statically linked program: install the package busybox-static")
    entries = [
        FileEntry("/bin/busybox", program, 0o755),
        *(FileEntry(f"/bin/{applet}", link="busybox") for applet in applets(path)),
        FileEntry("/etc/passwd", _PASSWD.encode()),
        FileEntry("/etc/group", _GROUP.encode()),
        FileEntry("/tmp", mode=0o1777),
        FileEntry("/root", mode=0o700),
        FileEntry("/var", mode=0o755),
        FileEntry("/usr/bin/env", link="/bin/env"),
        FileEntry("/bin/web", _WEB.encode(), 0o755),
        FileEntry("/www/index.html", b"toolbox\n"),
        FileEntry("/www/cgi-bin/hostname", _HOSTNAME_CGI.encode(), 0o755),
    ]
    config = {
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Cmd": ["web", "8080"],
        "WorkingDir": "/",
        "ExposedPorts": {"8080/tcp": {}},
    }
    return build_image(name, [entries], config, architecture)
