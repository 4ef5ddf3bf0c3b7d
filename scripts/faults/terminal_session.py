#!/usr/bin/env python3
"""Run a command on a terminal of its own, as an interactive shell does.

    terminal_session.py COMMAND [ARGUMENT ...]

The session has a controlling terminal, and the command is its foreground process group: a key or a hangup reaches the
command's processes through the kernel. Requests arrive on standard input, one JSON object a line:

    {"press": "\\u0003"}   write a key to the terminal
    {"foreground": true}  resume a suspended command, as `fg` does
    {"hangup": true}      close the terminal

Reports leave on standard output, one JSON object a line: started (process id), output (text), suspended, ended (code,
signal).
When standard input ends, the command's process group is killed.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import struct
import sys
import termios

_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    # the command's parent is the shell below; when a hangup ends that shell, the command's exit status comes here
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    terminal, other_end = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    status, status_end = os.pipe()
    request_end, request = os.pipe()
    shell = os.fork()
    if shell == 0:
        for descriptor in (terminal, status, request):
            os.close(descriptor)
        act_as_shell(other_end, status_end, request_end, sys.argv[1:])
    for descriptor in (other_end, status_end, request_end):
        os.close(descriptor)
    Session(shell, terminal, status, request).run()
    return 0


class Session:
    """Passes requests to the terminal and to the shell, and reports on the command until it ends."""

    def __init__(self, shell: int, terminal: int, status: int, request: int) -> None:
        self._shell = shell
        self._terminal: int | None = terminal
        self._status = status
        self._request = request
        self._command = -1
        self._pending = b""

    def run(self) -> None:
        reports = b""
        while True:
            # the terminal comes first: what the command wrote before its end is reported before its end
            sources = [self._status, 0, *([] if self._terminal is None else [self._terminal])]
            ready, _, _ = select.select(sources, [], [])
            if self._terminal in ready:
                self._read_terminal()
                continue
            if 0 in ready and not self._read_requests():
                self._kill()
                return
            if self._status not in ready:
                continue
            data = os.read(self._status, 65536)
            if not data:
                self._end_without_shell()
                return
            reports += data
            while b"\n" in reports:
                line, reports = reports.split(b"\n", 1)
                told = json.loads(line)
                self._command = told.get("started", self._command)
                report(told)
                if "ended" in told:
                    return

    def _read_terminal(self) -> None:
        try:
            data = os.read(self._terminal, 65536)
        except OSError:
            data = b""
        if data:
            report({"output": data.decode(errors="replace")})
        else:
            # no process has the other end open any more
            self._close_terminal()

    def _read_requests(self) -> bool:
        data = os.read(0, 65536)
        self._pending += data
        while b"\n" in self._pending:
            line, self._pending = self._pending.split(b"\n", 1)
            wanted = json.loads(line)
            if "press" in wanted and self._terminal is not None:
                os.write(self._terminal, wanted["press"].encode())
            elif "foreground" in wanted:
                os.write(self._request, b"f")
            elif "hangup" in wanted:
                self._close_terminal()
        return bool(data)

    def _close_terminal(self) -> None:
        if self._terminal is not None:
            os.close(self._terminal)
        self._terminal = None

    def _end_without_shell(self) -> None:
        """The shell ended by the hangup: the command is a child of this process now."""
        try:
            # the kernel closes the files of a process before it gives its children to another one
            os.waitpid(self._shell, 0)
            _, how = os.waitpid(self._command, 0)
        except ChildProcessError:
            return
        report({"ended": ending(how)})

    def _kill(self) -> None:
        if self._command > 0:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._command, signal.SIGKILL)


def act_as_shell(terminal: int, status: int, request: int, argv: list[str]) -> None:
    """The leader of the session: starts the command in the foreground and waits for it. Does not return."""
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    for descriptor in (0, 1, 2):
        os.dup2(terminal, descriptor)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    command = os.fork()
    if command == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        # as a shell leaves them, whatever this program inherited
        for number in (signal.SIGTTOU, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        environment = os.environ | {"_": shutil.which(argv[0]) or argv[0]}
        for descriptor in (status, request, terminal):
            os.close(descriptor)
        try:
            os.execvpe(argv[0], argv, environment)
        except OSError as error:
            print(f"{argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127)
    signal.signal(signal.SIGHUP, lambda *_: hang_up(command))

    def tell(what: dict[str, object]) -> None:
        os.write(status, (json.dumps(what) + "\n").encode())

    tell({"started": command})
    while True:
        # WNOWAIT leaves the status in place: a hangup may end this shell before it has reported it
        found = os.waitid(os.P_PID, command, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
        if found.si_code == os.CLD_EXITED:
            tell({"ended": {"code": found.si_status, "signal": None}})
            os._exit(0)
        if found.si_code != os.CLD_STOPPED:
            tell({"ended": {"code": None, "signal": signal.Signals(found.si_status).name}})
            os._exit(0)
        os.waitpid(command, os.WUNTRACED)
        os.tcsetpgrp(0, os.getpid())
        tell({"suspended": True})
        os.read(request, 1)
        os.tcsetpgrp(0, command)
        os.killpg(command, signal.SIGCONT)


def hang_up(command: int) -> None:
    """As bash does it: the job gets SIGHUP from the shell, and once more from the kernel when the shell ends."""
    for number in (signal.SIGHUP, signal.SIGCONT):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(command, number)
    os._exit(129)


def ending(how: int) -> dict[str, object]:
    if os.WIFEXITED(how):
        return {"code": os.WEXITSTATUS(how), "signal": None}
    return {"code": None, "signal": signal.Signals(os.WTERMSIG(how)).name}


def report(what: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(1, (json.dumps(what) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
