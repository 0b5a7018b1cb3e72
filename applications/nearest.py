"""The answer of the nearest example: what a model that writes has to beat."""


def nearest_answers(train, sources):
    """Of each source the answer to the training source that is most like it.

    Likeness is the cosine of TF-IDF vectors of words.

    Args:
        train: ExampleSet.
        sources: List of str.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\S+")
    known = vectors.fit_transform(train.inputs)
    answers = []
    for start in range(0, len(sources), 256):
        likeness = vectors.transform(sources[start : start + 256]) @ known.T
        answers += [train.answers[i] for i in likeness.argmax(1).A1]
    return answers
