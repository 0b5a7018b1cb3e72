"""Text to tokenise: seeded random Unicode of every kind, and small corpora."""

import random

WORDS = (
    "Hello World the don't I'LL it's naïve café straße İstanbul ΑΣ ὈΔΥΣΣΕΎΣ 日本語 "
    "中文字符 한국어 ไทย עברית العربية हिन्दी 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪 3.14 12345 foo_bar "
    "x=1; def f(x): <b> </s> <s> <unk> [MASK] [CLS] ##ing ▁ ▁▁a <0x41> ﬁ ½ ² Ⅷ … — “q” "
    "<|endoftext|> e\u0301\u0302 o\u0308 か\u3099 ½\u0301 '\u017f"
).split(" ")
ODDITIES = (
    "\u200b \u200d \ufeff \u00ad \x00 \x01 \x7f \x1c \ufffd \ufdd0 \U0010ffff \u180e "
    "\u061c \ue000 \U000e0001 \ufff9"
).split(" ")
SPACES = [" ", "  ", "\n", "\t", "\r\n", "\n \n", "   ", "\u3000", "\x0b", "\u2003 "]
SPACES += ["\x85", "\xa0", "\u2028", "\n\n", "\r", "\x0c", " \u0301"]
MARKS = [*range(0x300, 0x370), 0x5B0, 0x64B, 0x93C, 0xE34, 0x302E, 0x3099, 0x20D0]
MARKS += [0x1D165, 0x591, 0x302F, 0x1D16D]
PLANES = [
    (0, 0x110000),
    (0, 0x10000),
    (0, 0x300),
    (0x20, 0x7F),
    (0x1F000, 0x1FB00),
    (0x4E00, 0xA000),
    (0x590, 0x700),
    (0x900, 0x1100),
    (0x1100, 0x1200),
    (0x2000, 0x2100),
    (0xA0, 0x600),
    (0xAC00, 0xD7A4),
    (0x10000, 0x12000),
]
LENGTHS = (0, 1, 2, 5, 10, 30, 80)


def random_strings(count, *, seed, longest=100_000):
    """Seeded strings: all planes, marks, emoji, right-to-left, controls, spaces.

    Args:
        count: How many.
        seed: Of the random choices.
        longest: Length of the longest words, in characters.
    """
    chance = random.Random(seed)
    kinds = [lambda a=a, b=b: _character(chance, a, b) for a, b in PLANES]
    kinds += [
        lambda values=values: chance.choice(values)
        for values in (WORDS, WORDS, SPACES, SPACES, ODDITIES, [*map(chr, MARKS)])
    ]
    strings = [
        "a" * longest,
        "é" * longest,
        "日" * (longest // 2),
        "ab'" * (longest // 3),
        " " * longest,
        "👍🏽" * (longest // 4),
        "1" * longest,
    ]
    while len(strings) < count:
        chosen = [chance.choice(kinds) for _ in range(chance.randrange(1, 5))]
        length = chance.choice(LENGTHS)
        strings.append("".join(chance.choice(chosen)() for _ in range(length)))
    return strings


def _character(chance, first, last):
    while True:
        code_point = chance.randrange(first, last)
        if not 0xD800 <= code_point < 0xE000:
            return chr(code_point)


ENGLISH = """It was the best of times, it was the worst of times; it was the age of
wisdom... "Don't you think so?" he asked (twice, at 10:45 on 1859-04-30).  They'll say
that we've been there, I'm sure: the U.S. economy grew 3.5% & prices fell by $1,200."""
CHINESE = """中文信息处理是自然语言处理的一个分支。今天的天气很好，我们去公园玩吧！
人工智能（AI）在2024年发展迅速，“大模型”层出不穷；価格は1,000円です。안녕하세요 세계!"""
CODE = """def softmax(x, axis=-1):\n\t\"\"\"Stable.\"\"\"\n\tx = x - x.max(axis)\n
    return np.exp(x) / np.exp(x).sum(axis)  # 100% sure?\n\n\nif __name__ == '__main__':
        print(f"{softmax(np.array([1.0, 2e-5])):>10}")\r\n"""
CORPUS = [line for text in (ENGLISH, CHINESE, CODE) for line in text.split("\n")]
CORPUS += [ENGLISH, CHINESE, CODE]
