"""Search for hyperparameters with KerasTuner: spaces, hyper-models, searches.

KerasTuner is imported by the files that need it, and not with this package.
"""
