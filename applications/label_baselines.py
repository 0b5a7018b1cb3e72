"""What a classifier of texts has to beat: word counts with logistic regression."""

from collections import Counter


def linear_scores(train, held_out, **vectors):
    """TF-IDF and logistic regression, learnt from the same examples.

    Args:
        train, held_out: ExampleSets of texts and labels.
        vectors: Options of scikit-learn's TfidfVectorizer.

    Returns:
        "accuracy", and "f1", the mean over all labels.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(min_df=2, sublinear_tf=True, **vectors),
        LogisticRegression(C=10, max_iter=1000),
    )
    try:
        given = model.fit(train.inputs, train.answers).predict(held_out.inputs)
    except ValueError:  # nothing stands in two texts: nothing to tell labels apart by
        given = [Counter(train.answers).most_common(1)[0][0]] * len(held_out)
    return _scores(train, held_out, given)


def constant_scores(train, held_out):
    """The label that is commonest among the held-out ones, and its scores."""
    label = Counter(held_out.answers).most_common(1)[0][0]
    return label, _scores(train, held_out, [label] * len(held_out))


def _scores(train, held_out, given):
    from sklearn.metrics import accuracy_score, f1_score

    labels = sorted({*train.answers, *held_out.answers})
    options = {"labels": labels, "average": "macro", "zero_division": 0.0}
    return {
        "accuracy": float(accuracy_score(held_out.answers, given)),
        "f1": float(f1_score(held_out.answers, given, **options)),
    }
