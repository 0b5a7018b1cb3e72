"""Where a model comes from: a Hugging Face directory, or one GGUF file.

Both are shown alike: a config.json, tensors by Hugging Face's names, tokenizer files.
"""

import functools
from functools import cached_property

from zoo.checkpoints import Checkpoint, GgufCheckpoint
from zoo.errors import CheckpointError
from zoo.families import gguf
from zoo.files import file_in, find_directory, find_gguf, read_json

# Bytes; a classifier of all ImageNet's 21,841 labels has 1.3 million.
LARGEST_CONFIG = 2 << 20


def open_source(source, *, revision=None):
    """The `Directory` or the `GgufFile` that `source` names; use it in a `with` block.

    Raises:
        CheckpointError: if it names neither.
    """
    path = find_gguf(source, revision=revision)
    if path is not None:
        return GgufFile(path)
    return Directory(find_directory(source, revision=revision))


class Directory:
    """A Hugging Face directory.

    Attributes:
        directory: Its path.
        checkpoint: `Checkpoint` of its tensors, opened when it is first asked for.
    """

    def __init__(self, directory):
        self.directory = directory

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if "checkpoint" in vars(self):
            self.checkpoint.close()

    def __str__(self):
        return str(self.directory)

    @cached_property
    def checkpoint(self):
        return Checkpoint(self.directory)

    def read_config(self):
        """config.json, as a dictionary."""
        return read_json(
            file_in(self.directory, "config.json"),
            limit=LARGEST_CONFIG,
            memory=48 << 20,
        )

    @property
    def tokenizer_files(self):
        """Name and bytes of each tokenizer file."""
        from zoo.tokenizers.formats import read_files

        return read_files(self.directory)


class GgufFile:
    """A GGUF file, shown as the directory that it was converted from.

    Attributes:
        directory: None.
        checkpoint: `GgufCheckpoint` of its tensors, by Hugging Face's names as soon as
            `read_config` was called.
    """

    directory = None

    def __init__(self, path):
        self.checkpoint = GgufCheckpoint(path)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.checkpoint.close()
        if isinstance(error, CheckpointError):
            error.add_note(
                f"{self} is shown as the Hugging Face checkpoint that it was converted "
                "from: config.json are its settings, and names of tensors are its own "
                "or Hugging Face's."
            )

    def __str__(self):
        return self.checkpoint.name

    def read_config(self):
        """The config.json that says what the settings of the file say."""
        return gguf.as_hugging_face(self.checkpoint)

    @property
    def tokenizer_files(self):
        """A function that makes the tokenizer files; {} if the file has no tokenizer.

        A tokenizer that cannot be honoured does not keep the weights from loading.
        """
        settings = self.checkpoint.settings
        if "tokenizer.ggml.model" not in settings:
            return {}
        from zoo.tokenizers import gguf as tokenizers

        return functools.partial(tokenizers.files, settings)
