"""Weight tables: which checkpoint tensors hold which model weights, read in both ways.

A family describes its checkpoints by one `WeightTable`. `plan` compares it with a
checkpoint and with a model and accounts for every tensor and every weight before
anything is read; `Plan.arrays` then reads. `tensors_to_write` is the way back.

    TABLE = WeightTable(
        base=(
            Row("embeddings.token", "transformer.wte.weight"),
            Row("blocks.{i}.norm.scale", "transformer.h.{i}.ln_1.weight"),
            Row("blocks.{i}.attention.qkv.kernel",
                "transformer.h.{i}.attn.c_attn.weight", TRANSPOSED),
        ),
        heads={"lm_head": (Row("lm_head.kernel", "lm_head.weight"),)},
        prefix="transformer.",
        aliases={"lm_head.weight": "transformer.wte.weight"},
        ignored=("transformer.h.{i}.attn.bias",),
    )

Names are matched whole; nothing is guessed from how they end. `{i}` (or another name in
braces) stands for a number between two dots, the same one throughout a row.
"""

import dataclasses
import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from zoo.arrays import aligned_zeros, as_dtype
from zoo.checkpoints.reader import check_conversion
from zoo.checkpoints.writer import LazyTensor
from zoo.errors import CheckpointError


class Transform:
    """How the weights of a row lie in its tensors: here, one weight as one tensor.

    One method says it for both directions, in terms of NumPy views. Reading fills the
    views, so that a weight is allocated once and never copied; writing takes the values
    that they show.
    """

    def views(self, weights, config):
        """For each tensor, the views whose rows (axis 0) follow one another in it.

        Args:
            weights: List of arrays, one per weight of the row.
            config: The model's configuration, for sizes.

        Returns:
            List with one list of views of `weights` for each tensor of the row.
        """
        (weight,) = weights
        return [[weight]]

    def shapes(self, weights, config):
        """The shape of each tensor, given the list of shapes of the weights."""
        # Arrays of these shapes that need no memory.
        dummies = [np.broadcast_to(np.int8(0), shape) for shape in weights]
        return [
            (sum(len(view) for view in views), *views[0].shape[1:])
            if len(views) > 1
            else views[0].shape
            for views in self.views(dummies, config)
        ]


class Transposed(Transform):
    """A matrix that is stored the other way round, as GPT-2's Conv1D does."""

    def views(self, weights, config):
        (weight,) = weights
        return [[weight.T]]


@dataclass(frozen=True)
class Stacked(Transform):
    """One weight whose rows (axis 0) are those of several tensors, in this order.

    Attributes:
        sizes: Function of the configuration that gives the rows of each tensor; equal
            parts by default, as many as `parts`.
        parts: Number of equal parts.
        transposed: True if each tensor is stored the other way round.
    """

    sizes: Callable[[Any], tuple[int, ...]] | None = None
    parts: int = 3
    transposed: bool = False

    def views(self, weights, config):
        (weight,) = weights
        sizes = self.sizes(config) if self.sizes else _equal(len(weight), self.parts)
        if sum(sizes) != len(weight):
            raise CheckpointError(
                f"a weight of shape {list(weight.shape)} cannot be split into rows of "
                f"{list(sizes)}: the sizes of its row in the weight table are wrong."
            )
        parts = np.split(weight, np.cumsum(sizes)[:-1])
        return [[part.T if self.transposed else part] for part in parts]


class Joined(Transform):
    """Several weights whose rows (axis 0) follow one another in a single tensor."""

    def views(self, weights, config):
        return [list(weights)]


@dataclass(frozen=True)
class Padded(Transform):
    """A weight with more rows (axis 0) than its tensor; the others are zeros.

    Attributes:
        rows: Function of the configuration that gives the rows of the tensor.
    """

    rows: Callable[[Any], int]

    def views(self, weights, config):
        (weight,) = weights
        return [[weight[: self.rows(config)]]]


@dataclass(frozen=True)
class Repeated(Transform):
    """One weight that several tensors hold. Where they differ, the last one counts.

    Attributes:
        copies: Number of the tensors.
    """

    copies: int = 2

    def views(self, weights, config):
        (weight,) = weights
        return [[weight]] * self.copies


SAME = Transform()
TRANSPOSED = Transposed()
JOINED = Joined()


@dataclass(frozen=True)
class Row:
    """One line of a weight table: these weights of the model are these tensors.

    Attributes:
        weights: Path of the weight on the model, such as
            "blocks.{i}.attention.qkv.kernel", or a tuple of paths.
        tensors: Name in the checkpoint, or a tuple of names.
        transform: How the ones lie in the others.
        written: Function of the configuration that says how many of the tensors are
            written, where the others are copies; None: all.
    """

    weights: Any
    tensors: Any
    transform: Transform = SAME
    written: Callable[[Any], int] | None = None

    def __post_init__(self):
        for key in ("weights", "tensors"):
            value = getattr(self, key)
            names = (value,) if isinstance(value, str) else tuple(value)
            object.__setattr__(self, key, names)


@dataclass(frozen=True)
class WeightTable:
    """All weights of a family, and all tensors of its checkpoints.

    Names are those of the family's full checkpoints, base prefix included; `{i}` stands
    for a number.

    Attributes:
        base: Rows of the body. A row whose weight a model does not have (a bias that
            its configuration switches off) is passed over.
        heads: Rows of each head, by its name. A checkpoint may lack a head, or have
            heads that a class does not use. A pooler is a head too.
        prefix: What the names of the body begin with where a checkpoint also has heads
            ("bert."), and do not where it was saved alone.
        aliases: Names of tied copies, each with the name that it is a copy of. A copy
            may be there or not; it must then be equal. Where only the copy is there it
            is read instead. A tensor that a weight of the model needs is no copy.
        ignored: Names of buffers that are computed and not loaded.
        renames: Old parts of names, whole between dots, with the new ones:
            {"LayerNorm.gamma": "LayerNorm.weight"}.
    """

    base: tuple[Row, ...]
    heads: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    prefix: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    renames: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One row for one layer: weights to fill, and the tensors to fill them from.

    Attributes:
        weights: Tuple of weight paths.
        shapes: Their shapes.
        dtypes: Their NumPy dtypes.
        tensors: Tuple of names as the checkpoint has them.
        transform: How the ones lie in the others.
    """

    weights: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[np.dtype, ...]
    tensors: tuple[str, ...]
    transform: Transform


@dataclass(frozen=True)
class Plan:
    """How a checkpoint fills a model, with every tensor and weight accounted for.

    Attributes:
        checkpoint: What is read.
        config: The configuration that was given to `plan`.
        steps: Tuple of `Step`, in the order in which the tensors lie in the files.
        copies: Tuple of pairs (tied copy, what it must equal).
        unused: Dict of head name to the names of its tensors, for the heads that the
            checkpoint has and the model does not.
        new: Dict of head name to the paths of its weights, for the heads that the model
            has and the checkpoint does not. `arrays` does not yield these.
        ignored: Names of tensors that are buffers.
    """

    checkpoint: Any
    config: Any
    steps: tuple[Step, ...]
    copies: tuple[tuple[str, str], ...]
    unused: Mapping[str, tuple[str, ...]]
    new: Mapping[str, tuple[str, ...]]
    ignored: tuple[str, ...]

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Reads the weights one after another.

        Each array is a new one that nobody else writes to; `arrays.as_tensor` makes a
        tensor of it without a copy. Tied copies are compared first.

        Yields:
            Pairs of weight path and array, of the weight's own shape and dtype.

        Raises:
            CheckpointError: if a tied copy differs, or a tensor cannot be read.
        """
        for copy, original in self.copies:
            if not self.checkpoint.same(copy, original):
                raise CheckpointError(
                    f"{self.checkpoint.name}: tensor {copy!r} differs from "
                    f"{original!r}, which this config ties it to. Is "
                    "tie_word_embeddings right in config.json?"
                )
        for step in self.steps:
            weights = [
                aligned_zeros(shape, dtype)
                for shape, dtype in zip(step.shapes, step.dtypes, strict=True)
            ]
            views = step.transform.views(weights, self.config)
            for tensor, parts in zip(step.tensors, views, strict=True):
                if len(parts) == 1:
                    self.checkpoint.read_into(tensor, parts[0])
                    continue
                start = 0
                for part in parts:
                    self.checkpoint.read_into(tensor, part, start=start)
                    start += part.size
            del views, parts
            for path in reversed(step.weights):
                yield path, weights.pop()

    def summary(self):
        """What was not loaded, in one line for the log; empty if nothing."""
        said = []
        if self.unused:
            said.append(f"not used by this class: {_heads(self.unused)}")
        if self.new:
            said.append(
                f"not in the checkpoint and newly initialised: {_heads(self.new)}"
            )
        return f"{self.checkpoint.name}: {'; '.join(said)}" if said else ""


def plan(table, checkpoint, weights, *, heads=(), new=(), config=None):
    """Compares a model with a checkpoint and accounts for every weight and tensor.

    Nothing is read but what the headers of the checkpoint said.

    Args:
        table: The family's `WeightTable`.
        checkpoint: A `Checkpoint`, or another reader with `name`, `tensors`,
            `read_into` and `same`.
        weights: Mapping of weight path to an object with `shape` and `dtype`, such as
            a Keras variable: all weights of the model.
        heads: Names of the table's heads that the model has, tied ones included.
        new: Names of those heads that are to start anew even where the checkpoint has
            them, for another set of labels.
        config: The configuration, handed to the sizes of transforms.

    Returns:
        A `Plan`.

    Raises:
        CheckpointError: naming tensors and weights that are missing, unexpected, or of
            another shape or type than this configuration needs.
    """
    found = _canonical_names(table, checkpoint)
    missing: dict[str, str] = {}
    steps: list[Step] = []
    used: dict[str, str] = {}
    absent: dict[str, tuple[str, ...]] = {}
    for head, bound in _bound(table, heads, weights).items():
        sources = [
            {name: _source(table, found, name) for name in names}
            for _, _, names in bound
        ]
        wanted = {name: source for group in sources for name, source in group.items()}
        lacks_all = wanted and not any(wanted.values())
        if head is not None and (head in new or lacks_all):
            absent[head] = tuple(path for _, paths, _ in bound for path in paths)
            continue
        for (row, paths, _), group in zip(bound, sources, strict=True):
            lacking = [name for name, source in group.items() if source is None]
            missing |= dict.fromkeys(lacking, paths[0])
            if not lacking:
                used |= group
                steps.append(_step(row, paths, weights, tuple(group.values())))
    copies, unused, ignored, unexpected = _account_for(
        table, found, used, {*heads} - {*new}
    )
    if missing or unexpected:
        raise CheckpointError(_mismatch(checkpoint, missing, unexpected))
    for step in steps:
        _check_shapes(step, checkpoint, config)
    position = {name: at for at, name in enumerate(checkpoint.tensors)}
    return Plan(
        checkpoint=checkpoint,
        config=config,
        steps=tuple(
            sorted(steps, key=lambda step: min(position[n] for n in step.tensors))
        ),
        copies=tuple(copies),
        unused=unused,
        new=absent,
        ignored=tuple(ignored),
    )


def tensors_to_write(table, weights, *, heads=(), config=None, prefix=True):
    """The tensors that a model is saved as, made when they are written.

    Args:
        table: The family's `WeightTable`.
        weights: Mapping of weight path to array or Keras variable: all of the model.
        heads: Names of the table's heads that the model has.
        config: The configuration, handed to the sizes of transforms.
        prefix: False to leave the base prefix out of the names, as `transformers` does
            for a body that is saved alone.

    Returns:
        Dict of tensor name to `LazyTensor`, for `write_checkpoint`. Tied copies and
        buffers are not among them.

    Raises:
        CheckpointError: if a weight has no row in the table.
    """
    bound = _bound(table, heads, weights)
    tensors = {}
    for row, paths, names in (group for groups in bound.values() for group in groups):
        values = [weights[path] for path in paths]
        shapes = row.transform.shapes([tuple(v.shape) for v in values], config)
        count = row.written(config) if row.written else len(names)
        found = islice(zip(names, shapes, strict=True), count)
        for at, (name, shape) in enumerate(found):
            if not prefix:
                name = name.removeprefix(table.prefix)
            tensors[name] = LazyTensor(
                shape=shape,
                dtype=as_dtype(values[0].dtype),
                read=_writer(row.transform, values, config, at),
            )
    return tensors


@dataclass(frozen=True)
class Part:
    """Rows of a weight that are a tensor of their own in checkpoints.

    Attributes:
        weight: Path of the weight.
        tensor: Name of the tensor.
        rows: First row, and the one after the last.
        transposed: Whether the tensor is stored the other way round.
    """

    weight: str
    tensor: str
    rows: tuple[int, int]
    transposed: bool


def parts_of(table, weights, *, heads=(), config=None, prefix=True):
    """Which rows of each matrix are which tensor, in the order of the tensors.

    Args:
        table, weights, heads, config, prefix: As of `tensors_to_write`.

    Returns:
        List of `Part`; matrices that are only a piece of a tensor are left out.
    """
    found = []
    for group in _bound(table, heads, weights).values():
        for row, paths, names in group:
            shape = tuple(weights[paths[0]].shape)
            if len(paths) > 1 or len(shape) != 2:
                continue
            numbers = np.arange(shape[0])[:, None]  # of the rows, in any transform
            for name, views in zip(
                names, row.transform.views([numbers], config), strict=True
            ):
                (rows,) = views
                found.append(
                    Part(
                        weight=paths[0],
                        tensor=name if prefix else name.removeprefix(table.prefix),
                        rows=(int(rows.min()), int(rows.max()) + 1),
                        transposed=isinstance(row.transform, Transposed)
                        or getattr(row.transform, "transposed", False),
                    )
                )
    return found


def _writer(transform, values, config, at):
    def read():
        views = transform.views([np.asarray(value) for value in values], config)[at]
        return views[0] if len(views) == 1 else np.concatenate(views)

    return read


class _Names:
    """Finds the templates that a name is an instance of, without trying them all."""

    def __init__(self, templates):
        self._groups: dict[str, list] = {}
        for template, value in templates:
            group = self._groups.setdefault(self._key(template), [])
            group.append((_pattern(template), value))

    def find(self, name):
        """Pairs of the value of each template that matches, and its numbers."""
        for pattern, value in self._groups.get(self._key(name), ()):
            if match := pattern.fullmatch(name):
                yield value, match.groupdict()

    def __contains__(self, name):
        return any(True for _ in self.find(name))

    @staticmethod
    def _key(name):
        return ".".join(
            "#" if part[:1] == "{" or part.isdecimal() else part
            for part in name.split(".")
        )


def _pattern(template):
    """The regular expression of a template: "{i}" is a number between two dots."""
    parts, seen = [], set()
    for part in template.split("."):
        if not part.startswith("{"):
            parts.append(re.escape(part))
        elif part in seen:
            parts.append(f"(?P={part[1:-1]})")
        else:
            seen.add(part)
            parts.append(f"(?P<{part[1:-1]}>0|[1-9][0-9]*)")
    return re.compile(r"\.".join(parts))


def _bound(table, heads, weights):
    """The rows of a model with these heads, bound to its weights.

    Returns:
        Dict of head name to a list as of `_bind`; None stands for the body.
    """
    unknown = [head for head in heads if head not in table.heads]
    if unknown:
        raise CheckpointError(
            f"heads {unknown} are not in this family's weight table, which has "
            f"{sorted(table.heads)}."
        )
    rows = {None: table.base, **{head: table.heads[head] for head in heads}}
    bound = {head: _bind(group, weights) for head, group in rows.items()}
    groups = [group for head in bound.values() for group in head]
    counts = Counter(path for _, paths, _ in groups for path in paths)
    for path, count in counts.items():
        if count > 1:
            raise CheckpointError(
                f"weight {path!r} has {count} rows in its family's weight table. "
                "Leave one."
            )
    strays = [path for path in weights if path not in counts]
    absent = [path for path in counts if path not in weights]
    if strays or absent:
        raise CheckpointError(
            f"the weight table of this family, with heads {list(heads)}, does not fit "
            f"this model: {_list(strays) or 'no weights'} have no row, and "
            f"{_list(absent) or 'none'} that rows name are not there."
        )
    return bound


def _bind(rows, weights):
    """The rows for which the model has weights, with numbers put into their names.

    Returns:
        List of (row, weight paths, tensor names), in the order of the rows.
    """
    names = _Names((row.weights[0], order) for order, row in enumerate(rows))
    bound = []
    for path in weights:
        for order, numbers in names.find(path):
            row = rows[order]
            paths = tuple(each.format(**numbers) for each in row.weights)
            tensors = tuple(each.format(**numbers) for each in row.tensors)
            bound.append((order, row, paths, tensors))
    bound.sort(key=lambda group: group[0])
    return [(row, paths, tensors) for _, row, paths, tensors in bound]


def _canonical_names(table, checkpoint):
    """Dict of each tensor's name as the table has it to its name in the checkpoint."""
    found: dict[str, str] = {}
    known = _Names(
        (name, None)
        for name in (
            *(n for row in table.base for n in row.tensors),
            *(n for rows in table.heads.values() for row in rows for n in row.tensors),
            *table.aliases,
            *table.ignored,
        )
    )
    bare = table.prefix and not any(
        name.startswith(table.prefix) for name in checkpoint.tensors
    )
    for actual in checkpoint.tensors:
        name = f".{actual}."
        for old, new in table.renames.items():
            name = name.replace(f".{old}.", f".{new}.")
        name = name[1:-1]
        if bare and table.prefix + name in known:
            name = table.prefix + name
        if name in found:
            raise CheckpointError(
                f"{checkpoint.name}: tensors {found[name]!r} and {actual!r} are two "
                f"names of one weight ({name!r}). Remove one of them."
            )
        found[name] = actual
    return found


def _source(table, found, name):
    """The checkpoint's name of a tensor, or of a tied copy of it; None if absent."""
    if name in found:
        return found[name]
    for copy, original in table.aliases.items():
        if original == name and copy in found:
            return found[copy]
    return None


def _step(row, paths, weights, tensors):
    return Step(
        weights=paths,
        shapes=tuple(tuple(weights[path].shape) for path in paths),
        dtypes=tuple(as_dtype(weights[path].dtype) for path in paths),
        tensors=tensors,
        transform=row.transform,
    )


def _account_for(table, found, used, heads):
    """Sorts the tensors that no weight needs.

    Returns:
        List of pairs of tied copies and originals, dict of unused heads, list of
        buffers, list of unexpected names; all as the checkpoint has them.
    """
    buffers = _Names((name, None) for name in table.ignored)
    others = _Names(
        (name, head)
        for head, rows in table.heads.items()
        if head not in heads
        for row in rows
        for name in row.tensors
    )

    def head_of(name):
        return next((head for head, _ in others.find(name)), None) if name else None

    sources = set(used.values())
    copies, ignored, unexpected = [], [], []
    unused: dict[str, tuple[str, ...]] = {}
    for name, actual in found.items():
        if actual in sources:
            continue
        original = table.aliases.get(name)
        head = head_of(name) or head_of(original)
        if name in buffers:
            ignored.append(actual)
        elif head is not None:
            unused[head] = (*unused.get(head, ()), actual)
        elif original is not None and (source := used.get(original)) is not None:
            copies.append((actual, source))
        else:
            unexpected.append(actual)
    return copies, unused, ignored, unexpected


def _check_shapes(step, checkpoint, config):
    expected = step.transform.shapes(step.shapes, config)
    for name, shape in zip(step.tensors, expected, strict=True):
        info = checkpoint.tensors[name]
        if info.shape != tuple(shape):
            raise CheckpointError(
                f"{info.file}: tensor {name!r} has shape {list(info.shape)}, this "
                f"config needs {list(shape)}{_sizes_in(config, shape, info.shape)}. Is "
                "config.json from another checkpoint?"
            )
        check_conversion(info, step.dtypes[0])


def _sizes_in(config, *shapes):
    """The settings of a configuration that stand in these shapes: " (a=1, b=2)"."""
    if not dataclasses.is_dataclass(config):
        return ""
    sizes = {size for shape in shapes for size in shape}
    settings = [
        f"{setting.name}={value}"
        for setting in dataclasses.fields(config)
        if type(value := getattr(config, setting.name)) is int and value in sizes
    ]
    return f" ({', '.join(settings)})" if settings else ""


def _mismatch(checkpoint, missing, unexpected):
    said = []
    if missing:
        said.append(f"{len(missing)} tensors are missing: {_list(missing)}")
    if unexpected:
        said.append(
            f"{len(unexpected)} tensors are not known to this model: "
            f"{_list(unexpected)}"
        )
        for name in unexpected[:3]:
            for close in difflib.get_close_matches(name, list(missing)[:100], 1):
                said.append(f"did {name!r} mean {close!r}?")
    return (
        f"{checkpoint.name}: {'; '.join(said)}. Is config.json from another "
        "checkpoint, or is this another family's?"
    )


def _equal(total, parts):
    return (total // parts,) * parts


def _heads(heads):
    return ", ".join(f"{head} ({_list(names)})" for head, names in heads.items())


def _list(names, most=4):
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:most])
    more = len(names) - most
    return f"{shown} and {more} more" if more > 0 else shown
