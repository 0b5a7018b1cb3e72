"""Export: SavedModels that run where neither zoo nor Keras is installed."""

from zoo.export.clean_process import run_in_clean_process
from zoo.export.saved_model import export_saved_model

__all__ = ["export_saved_model", "run_in_clean_process"]
