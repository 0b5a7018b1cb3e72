"""The course of a training: see `zoo.training.curves`, which the verbs use as well."""

from zoo.training.curves import Curve

__all__ = ["Curve"]
