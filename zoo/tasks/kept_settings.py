"""Settings of a task that stay with its checkpoint: in config.json, under its name.

There, in `task_specific_params`, `transformers` keeps prefixes of its own; it passes
over names that begin with `zoo_`.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from zoo.errors import CheckpointError, InputError
from zoo.files import read_json
from zoo.tasks.keras_files import KeptWhole

PARAMS = "task_specific_params"


class KeptSettings(KeptWhole):
    """A model whose settings come back with its checkpoint, and with a `.keras` file.

    Attributes:
        task_name: Key of task_specific_params; others may begin with it.
    """

    task_name: ClassVar[str]
    _task_params: Mapping[str, Any] = {}
    _max_length: int | None

    def kept_settings(self):
        """The settings by name, None where they were left open.

        Each is an argument of the class and, under its name, an attribute of the model.
        """
        return {"max_length": self._max_length}

    def get_config(self):
        return {**super().get_config(), **self.kept_settings()}

    def task_params(self):
        """What task_specific_params says of this model."""
        settings = self.kept_settings().items()
        return {f"zoo_{name}": value for name, value in settings if value is not None}

    @property
    def _params_name(self):
        """Which key of task_specific_params speaks of this task."""
        return next(iter(self._task_params), self.task_name)

    def read_extras(self, directory):
        super().read_extras(directory)
        found = read_json(directory / "config.json").get(PARAMS)
        found = found if isinstance(found, dict) else {}
        self._task_params = {
            name: value
            for name, value in found.items()
            if name.startswith(self.task_name) and isinstance(value, dict)
        }
        own = self._task_params.get(self._params_name, {})
        try:
            for name in self.kept_settings():
                if (key := f"zoo_{name}") in own:
                    setattr(self, name, own[key])
        except InputError as error:
            raise CheckpointError(f"config.json: {error}") from error

    def write_extras(self, directory):
        super().write_extras(directory)
        if said := self.task_params():
            path = directory / "config.json"
            given = {**read_json(path), PARAMS: {self._params_name: said}}
            text = json.dumps(given, indent=2, ensure_ascii=False)
            path.write_text(text + "\n", encoding="utf-8")
