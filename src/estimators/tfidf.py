"""Classical estimators of texts."""

from collections.abc import Sequence

from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline, make_pipeline

from src.value_types import Count


def tfidf(
    *, classifier: BaseEstimator, ngrams: Sequence[Count] = (1, 2), min_count: Count = 1, sublinear: bool = True
) -> Pipeline:
    """A classifier of the weighted counts of words.

    Args:
        classifier: gets a sparse matrix, one row for each text.
        ngrams: words of a counted sequence, the fewest and the most.
        min_count: texts that must have a sequence.
        sublinear: whether the logarithm of a count counts.
    """
    counts = TfidfVectorizer(ngram_range=tuple(ngrams), min_df=min_count, sublinear_tf=sublinear, token_pattern=r"\w+|[^\w\s]+")
    return make_pipeline(counts, classifier)
