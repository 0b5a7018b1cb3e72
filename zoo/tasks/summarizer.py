"""Summarizer: texts to short ones that say the same."""

import keras

from zoo.tasks.examples.sets import ExampleSet
from zoo.tasks.results.text_scores import summary_scores
from zoo.tasks.sequence_to_sequence import SequenceToSequence


@keras.saving.register_keras_serializable(package="zoo")
class Summarizer(SequenceToSequence):
    """Texts to short ones that say the same; measured by ROUGE."""

    metric = "rougeL"
    task_name = "summarization"

    @classmethod
    def read_sample(cls):
        """Long and short descriptions of Debian's packages."""
        from zoo.data.pairs import package_descriptions

        long, short = package_descriptions()
        report = f"package descriptions: {len(long):,} pairs"
        return ExampleSet(long, short, "package descriptions", report)

    def measure(self, examples, *, batch_size=None):
        """ROUGE-1, -2, -L (rouge-score's), and the share of answers that are right."""
        return self._measured(examples, batch_size, summary_scores)
