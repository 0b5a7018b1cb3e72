"""Translator: texts to the same in another language."""

import keras

from zoo.tasks.examples.sets import ExampleSet
from zoo.tasks.results.text_scores import translation_scores
from zoo.tasks.sequence_to_sequence import SequenceToSequence


@keras.saving.register_keras_serializable(package="zoo")
class Translator(SequenceToSequence):
    """Texts to their translations; measured by BLEU and chrF."""

    metric = "bleu"
    task_name = "translation"

    @classmethod
    def read_sample(cls, language="de"):
        """What programs say to their users, in English and German (or "zh")."""
        from zoo.data.pairs import interface_texts

        sources, targets = interface_texts(language)
        report = f"interface texts: {len(sources):,} pairs, English to {language}"
        return ExampleSet(sources, targets, "interface texts", report)

    def measure(self, examples, *, batch_size=None):
        """BLEU, chrF (sacreBLEU's), and the share of answers that are the reference."""
        return self._measured(examples, batch_size, translation_scores)
