"""The three assemblies: encoder-only, decoder-only and encoder-decoder."""

from zoo.models.decoder import GPTModel
from zoo.models.encoder import BertModel
from zoo.models.encoder_decoder import T5Model

__all__ = ["BertModel", "GPTModel", "T5Model"]
