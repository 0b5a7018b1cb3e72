"""An n-gram language model: what a network has to beat before it is worth its time.

Interpolated modified Kneser-Ney smoothing (Chen and Goodman 1998, TR-10-98, section 3),
which is what KenLM estimates. It is all counting, done here by sorting whole arrays:
three million tokens take seconds. `nltk.lm` gives the same numbers, but goes through
all n-grams for each token it scores; KenLM's estimator does not come with its package.
"""

import numpy as np


class NGrams:
    """Probabilities of tokens after those before them, learnt from packed rows.

    Args:
        ids: Tokens, int `[N, T]`.
        documents: Which document of its row each token is in, int `[N, T]`, as packing
            has it: 0 in padding. A context does not reach beyond its document.
        vocab_size: How many tokens there are, V.
        order: Longest n-gram: 5 looks at the four tokens before each.
        discount: What is taken off each count of two tokens and more; None: three
            numbers for each order, estimated from how many n-grams are how rare.

    Attributes:
        size: How many different n-grams were seen, of all orders together.
    """

    def __init__(self, ids, documents, vocab_size, *, order=5, discount=None):
        self.vocab_size, self.order = vocab_size, order
        words, depth = _flat(ids, documents)
        keys, grams, firsts = [], [], []
        number = np.zeros_like(words)  # of the context, which is empty at first
        for n in range(1, order + 1):
            key = self._keys(number, words, depth, n)
            known, first, number = np.unique(
                key, return_index=True, return_inverse=True
            )
            missing = int(known[0] < 0)  # that no n-gram ends at some of the tokens
            number = number.ravel() - missing
            keys.append(known[missing:])
            firsts.append(first[missing:])
            grams.append(number)
        self._levels = []
        contexts = 1
        for n, known in enumerate(keys, 1):
            # Below the highest order an n-gram counts in how many ways it goes on to
            # the left, and not how often it comes.
            longer = grams[n - 1] if n == order else grams[n - 1][firsts[n]]
            counts = np.bincount(longer[longer >= 0], minlength=len(known))
            flat = None if discount is None else discount * (n > 1)
            level = _Level(known, counts, known // vocab_size, contexts, flat)
            self._levels.append(level)
            contexts = len(known)
        self.size = sum(map(len, keys))

    def losses(self, ids, documents):
        """`-log p` of each token after those before it, `[N, T]`; 0 in padding."""
        words, depth = _flat(ids, documents)
        found = np.full(len(words), 1 / self.vocab_size)
        number = np.zeros_like(words)
        for n, level in enumerate(self._levels, 1):
            key = self._keys(number, words, depth, n)
            context = np.where(key < 0, -1, key // self.vocab_size)
            number = level.find(key)
            found = level.interpolate(number, context, found)
        return np.where(depth > 0, -np.log(found), 0).reshape(np.shape(ids))

    def following(self, ids):
        """Probabilities of each token behind the ids of a document, `[V]`."""
        words = np.arange(self.vocab_size)
        found = np.full(len(words), 1 / self.vocab_size)
        for n, level in enumerate(self._levels, 1):
            context = 0  # the number of the last n - 1 ids
            before = ids[max(0, len(ids) - n + 1) :]
            for shorter, word in zip(self._levels, before, strict=False):
                if context >= 0:
                    key = np.array([context * self.vocab_size + word])
                    context = int(shorter.find(key)[0])
            if context < 0 or n > len(ids) + 1:
                break  # it was never seen, or is longer than what there is
            number = level.find(context * self.vocab_size + words)
            found = level.interpolate(number, np.full(len(words), context), found)
        return found

    def _keys(self, number, words, depth, n):
        """The n-gram that ends at each token; -1 where there is none."""
        context = np.roll(number, 1) if n > 1 else number
        exists = (depth >= n) & (context >= 0)
        return np.where(exists, context * self.vocab_size + words, -1)


class NGramWriter:
    """Has an n-gram model write.

    Args:
        model: NGrams.
        tokenizer: zoo.Tokenizer.
    """

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer

    def generate(self, prompts, *, max_new_tokens, seed):
        """What is written behind each of several texts, drawn by its probability."""
        chance, texts = np.random.default_rng(seed), []
        end = self.tokenizer.eos_token_id
        for ids in self.tokenizer(prompts, padding=None)["input_ids"].to_list():
            written = []
            while len(written) < max_new_tokens and end not in written[-1:]:
                p = self.model.following([*ids, *written][1 - self.model.order :])
                written.append(int(chance.choice(len(p), p=p / p.sum())))
            texts.append(self.tokenizer.decode(written, skip_special_tokens=True))
        return texts


def preceded(documents):
    """Which tokens of packed rows have another one before them in their document.

    Args:
        documents: int `[N, T]`, 0 in padding.

    Returns:
        bool `[N, T]`.
    """
    found = np.zeros(documents.shape, bool)
    found[:, 1:] = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] > 0)
    return found


class _Level:
    """The n-grams of one order.

    Args:
        keys: Of each n-gram, `context * V + last token`, ascending, int64 `[G]`.
        counts, contexts: Of each n-gram, `[G]`.
        size: How many contexts there are, C.
        discount: One for all counts, or None.
    """

    def __init__(self, keys, counts, contexts, size, discount):
        self.keys = keys
        taken = _discounts(counts, discount)[np.minimum(counts, 3)]
        total = np.bincount(contexts, counts, size)
        left = np.bincount(contexts, taken, size)
        known = total > 0
        self.left = np.divide(left, total, where=known, out=np.ones(size))
        rest = np.maximum(counts - taken, 0.0)
        whole = total[contexts]
        self.shares = np.divide(rest, whole, where=whole > 0, out=np.zeros(len(keys)))

    def find(self, keys):
        """The number of each n-gram, -1 where it is none that was seen."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, place, -1)

    def interpolate(self, number, context, below):
        """Probabilities, from those `below` of the next lower order."""
        if not len(self.left):  # there is no context of that length
            return below
        share = np.where(number >= 0, self.shares[number], 0.0) if len(self.keys) else 0
        left = np.where(context >= 0, self.left[context], 1.0)
        return share + left * below


def _discounts(counts, fixed):
    """What is taken off counts of 0, 1, 2, and 3 or more."""
    if fixed is not None:
        return np.array([0.0, fixed, fixed, fixed])
    ones, twos, threes, fours = (int((counts == c).sum()) for c in (1, 2, 3, 4))
    if not (ones and twos and threes):  # too few n-grams to tell: as KenLM falls back
        return np.array([0.0, 0.5, 1.0, 1.5])
    share = ones / (ones + 2 * twos)
    found = np.array(
        [
            0.0,
            1 - 2 * share * twos / ones,
            2 - 3 * share * threes / twos,
            3 - 4 * share * fours / threes,
        ]
    )
    return np.clip(found, 0.0, [0.0, 1.0, 2.0, 3.0])


def _flat(ids, documents):
    """Tokens one behind another, and how many of its document each one ends."""
    documents = np.asarray(documents)
    begins = np.ones(documents.shape, bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    place = np.arange(documents.size)
    start = np.maximum.accumulate(np.where(begins.ravel(), place, 0))
    depth = np.where(documents.ravel() > 0, place - start + 1, 0)
    return np.asarray(ids, np.int64).ravel(), depth
