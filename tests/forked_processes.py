"""Clean processes in a hundredth of the time: forks of one that has TensorFlow loaded.

What is called in them is what `run_in_clean_process` calls, in a process of its own,
where zoo and Keras cannot be imported. tests/export/ starts processes from nothing.
"""

import json
import subprocess
import sys

from zoo.export import clean_process

# A fork is sound as long as TensorFlow has started no thread, which it does with the
# first op.
SERVER = f"""
import io, json, os, sys, traceback
{clean_process.PREPARATION}

for line in sys.stdin:
    directory, request, output, errors = json.loads(line)
    child = os.fork()
    if not child:
        status = 1
        try:
            os.chdir(directory)
            for number, path in ((1, output), (2, errors)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), number)
            sys.stdin = io.StringIO(request)
            exec({clean_process.CALL!r})
            sys.stdout.flush()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class ForkServer:
    """Stands for `zoo.export.clean_process._run`.

    Args:
        directory: Where what the processes say is kept, a `pathlib.Path`.
    """

    def __init__(self, directory):
        self._directory = directory
        self._calls = 0
        self._server = None

    def __call__(self, directory, request):
        """The process that has answered a request, a line of JSON."""
        if self._server is None:  # at the first call, for few tests make one
            self._server = subprocess.Popen(
                [sys.executable, "-c", SERVER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        self._calls += 1
        said = [self._directory / f"{name}{self._calls}" for name in ("out", "err")]
        line = json.dumps([str(directory), request, *map(str, said)])
        self._server.stdin.write(line + "\n")
        self._server.stdin.flush()
        status = int(self._server.stdout.readline())
        stdout, stderr = (path.read_text(encoding="utf-8") for path in said)
        return subprocess.CompletedProcess("fork", status, stdout, stderr)

    def close(self):
        """Ends the server."""
        if self._server is not None:
            self._server.stdin.close()
            self._server.wait()
            self._server.stdout.close()
