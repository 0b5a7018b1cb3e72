"""How good written texts are: BLEU and chrF of translations, ROUGE of summaries."""

# Chinese and Japanese are written without spaces: their words are characters here.
_IDEOGRAPHS = (("\u3040", "\u30ff"), ("\u3400", "\u9fff"), ("\uf900", "\ufaff"))


def translation_scores(given, expected):
    """Corpus scores of translations, as sacreBLEU computes them (Post 2018).

    Args:
        given, expected: Lists of str; one reference for each.

    Returns:
        "bleu" and "chrf" from 0 to 100, and "signature", by which others can tell how
        BLEU was computed: for Chinese references its words are characters ("zh").
    """
    from sacrebleu.metrics import BLEU, CHRF

    bleu = BLEU(tokenize="zh" if mostly_ideographs(expected) else "13a")
    score = bleu.corpus_score(given, [expected])
    return {
        "bleu": float(score.score),
        "chrf": float(CHRF().corpus_score(given, [expected]).score),
        "signature": str(bleu.get_signature()),
    }


def summary_scores(given, expected):
    """ROUGE-1, -2 and -L, as rouge-score computes them (Lin 2004).

    Args:
        given, expected: Lists of str; one reference for each.

    Returns:
        "rouge1", "rouge2" and "rougeL" from 0 to 1: means of F1, without stemming. Of
        Chinese, whose words rouge-score does not see, each character is a word.
    """
    from rouge_score.rouge_scorer import RougeScorer

    names = ["rouge1", "rouge2", "rougeL"]
    tokenizer = _Characters() if mostly_ideographs(expected) else None
    scorer = RougeScorer(names, tokenizer=tokenizer)
    rows = [scorer.score(e, g) for e, g in zip(expected, given, strict=True)]
    return {n: sum(row[n].fmeasure for row in rows) / len(rows) for n in names}


def mostly_ideographs(texts):
    """Whether texts are mostly in the characters of Chinese or Japanese."""
    letters = [character for text in texts for character in text if character.isalpha()]
    return 2 * sum(map(_is_ideograph, letters)) > len(letters)


def _is_ideograph(character):
    return any(first <= character <= last for first, last in _IDEOGRAPHS)


class _Characters:
    """A tokenizer of rouge-score: ideographs alone, other letters in words."""

    def tokenize(self, text):
        spaced = (f" {c} " if _is_ideograph(c) else c for c in text.lower())
        return "".join(spaced).split()
