"""LoRA adapters of a model: added, trained, saved as peft has them, and merged."""

import json
import re
from collections.abc import Mapping

import numpy as np

from zoo import families
from zoo.checkpoints import LazyTensor, Part, TensorFile, parts_of, write_tensors
from zoo.errors import CheckpointError, ConfigError, InputError
from zoo.files import file_in, find_directory, read_json, shorten, staged_directory
from zoo.layers.linear import Linear
from zoo.models.compiled import shortened
from zoo.models.training import TrainableModel

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
LARGEST_CONFIG = 1 << 20
ALL_LINEAR = "all-linear"  # peft's word for every linear layer but the output's
PREFIX = "base_model.model."
TASKS = {
    "causal_lm": "CAUSAL_LM",
    "seq2seq_lm": "SEQ_2_SEQ_LM",
    "sequence_classification": "SEQ_CLS",
    "token_classification": "TOKEN_CLS",
    "model": "FEATURE_EXTRACTION",
}
# What an adapter_config.json says that changes nothing of what is computed here.
HARMLESS = frozenset(
    "alora_invocation_tokens auto_mapping base_model_name_or_path corda_config "
    "ensure_weight_tying eva_config exclude_modules fan_in_fan_out inference_mode "
    "init_lora_weights loftq_config lora_dropout lora_ga_config megatron_core "
    "peft_version qalora_group_size revision runtime_config task_type".split()
)
READ = frozenset("peft_type r lora_alpha use_rslora target_modules".split())
MOST_RANK = 4096


class AdaptableModel(TrainableModel):
    """A model whose Linear layers may have low-rank additions.

    Attributes:
        lora: What `add_lora` was told, or None: "rank", "alpha", "dropout", "rslora"
            and "target", the names of the layers by Hugging Face's modules.
    """

    lora: dict | None = None

    def add_lora(
        self,
        rank=8,
        alpha=None,
        *,
        target=ALL_LINEAR,
        dropout=0.0,
        rslora=False,
        train=(),
    ):
        """Adds low-rank matrices to Linear layers; these alone are trained from now on.

        Call `compile` afterwards if it was called before.

        Args:
            rank: Rows of A and columns of B, peft's `r`.
            alpha: The product is scaled by `alpha / rank`; None: twice the rank.
            target: Which layers. Names as peft takes them, those of Hugging Face's
                modules or of their ends, such as ["query", "value"], ["q_proj",
                "v_proj"] or ["c_attn"]; or one regular expression that matches whole
                names; or "all-linear", every one but the output head.
            dropout: Rate on what comes into A, in training.
            rslora: Scale by `alpha / sqrt(rank)` (arXiv:2312.03732).
            train: Patterns, as of `unfreeze`, of other weights that are trained too,
                such as the new head of a classifier.

        Returns:
            How many modules have an addition now.

        Raises:
            InputError: if a name fits no module, naming the modules; or if the model
                has LoRA already.
            ConfigError: if rank, alpha or dropout cannot be.
        """
        if self.lora is not None:
            raise InputError("this model has LoRA already. merge_lora() it, or remove.")
        alpha = 2 * rank if alpha is None else alpha
        if not isinstance(rank, int) or not 0 < rank <= MOST_RANK:
            raise ConfigError(f"rank={rank!r}: expected a whole number from 1 on.")
        if not 0 < alpha < float("inf") or not 0 <= dropout < 1:
            raise ConfigError(
                f"alpha={alpha!r}, dropout={dropout!r}: expected a positive number and "
                "a rate in [0, 1)."
            )
        modules = self._modules()
        chosen = _chosen(target, modules, self._head_modules())
        self._attach(
            {name: modules[name] for name in chosen}, rank, alpha, dropout, rslora
        )
        self.freeze("*")
        if train:
            self.unfreeze(*train)
        return len(chosen)

    def _attach(self, parts, rank, alpha, dropout, rslora):
        layers, grouped = self._linears(), {}
        for part in parts.values():
            grouped.setdefault(part.weight, []).append(part.rows)
        scale = alpha / (rank**0.5 if rslora else rank)
        for path, rows in grouped.items():
            layers[path].add_lora(sorted(rows), rank=rank, scale=scale, rate=dropout)
        self.lora = {
            "rank": rank,
            "alpha": alpha,
            "dropout": dropout,
            "rslora": rslora,
            "target": list(parts),
        }
        self._forget_programs()

    def merge_lora(self):
        """Adds what was learnt to the weights, and takes the additions away.

        The model computes as before, to within one rounding of each weight.
        """
        self._end_lora(Linear.merge_lora)

    def remove_lora(self):
        """Takes the additions away; the model is again what it was before them."""
        self._end_lora(Linear.remove_lora)

    def _end_lora(self, end):
        if self.lora is None:
            raise InputError("this model has no LoRA: there is nothing to take away.")
        for layer in self._linears().values():
            end(layer)
        self.lora = None
        self.unfreeze()
        self._forget_programs()

    def _forget_programs(self):
        """Compiled programs have the layers in them as they were."""
        self.train_function = self.test_function = self.predict_function = None
        for name in ("_generator", "_compiled_fill"):
            self.__dict__.pop(name, None)

    # --- Files ------------------------------------------------------------------------

    def save_lora(self, directory):
        """Writes what LoRA learnt, as peft's `PeftModel.from_pretrained` reads it.

        Other weights that were trained, such as a head, are not among it.

        Args:
            directory: Made if it does not exist; other files in it stay.

        Raises:
            InputError: if this model has no LoRA, or trains other weights besides:
                these would be lost.
        """
        if self.lora is None:
            raise InputError("this model has no LoRA. Call add_lora first.")
        others = [n for n, w in self.weights_by_path().items() if w.trainable]
        if others:
            raise InputError(
                f"other weights are trained besides: {shortened(others)}. An adapter "
                "does not hold them: merge_lora() and save_pretrained(directory), or "
                "freeze them first."
            )
        tensors = {}
        modules, layers = self._modules(), self._linears()
        for name in self.lora["target"]:
            down, up = _matrices(layers, modules[name])
            for letter, weight in (("A", down), ("B", up)):
                tensors[f"{PREFIX}{name}.lora_{letter}.weight"] = LazyTensor(
                    shape=tuple(weight.shape),
                    dtype=np.asarray(weight).dtype,
                    read=weight.numpy,
                )
        config = {
            "peft_type": "LORA",
            "task_type": TASKS.get(self.architecture),
            "r": self.lora["rank"],
            "lora_alpha": self.lora["alpha"],
            "lora_dropout": self.lora["dropout"],
            "use_rslora": self.lora["rslora"],
            "target_modules": _shortest(self.lora["target"], modules),
            "fan_in_fan_out": all(modules[n].transposed for n in self.lora["target"]),
            "bias": "none",
            "base_model_name_or_path": None,
            "inference_mode": True,
        }
        with staged_directory(directory) as stage:
            text = json.dumps(config, indent=2)
            (stage / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
            write_tensors(stage / WEIGHTS_FILE, tensors)

    def load_lora(self, source, *, revision=None):
        """Adds an adapter that peft or `save_lora` has written, in place of another.

        Args:
            source: A directory with adapter_config.json and adapter_model.safetensors,
                or a hub id.
            revision: Branch, tag or commit on the hub.

        Raises:
            CheckpointError: if it is damaged, is for another model, or computes what is
                not known here. The model is then as it was.
        """
        directory = find_directory(source, revision=revision)
        config = read_json(file_in(directory, CONFIG_FILE), limit=LARGEST_CONFIG)
        said = _read_config(config, directory)
        modules, layers = self._modules(), self._linears()
        with TensorFile(directory, WEIGHTS_FILE) as file:
            names = _adapted(file, modules)
            _check_target(config, names, modules, self._head_modules())
            arrays = {}
            for name in names:
                part = modules[name]
                rows = part.rows[1] - part.rows[0]
                width = layers[part.weight].weight.shape[1]
                shapes = {"A": (said["rank"], width), "B": (rows, said["rank"])}
                for letter, shape in shapes.items():
                    tensor = f"{PREFIX}{name}.lora_{letter}.weight"
                    found = file.tensors[tensor].shape
                    if found != shape:
                        raise CheckpointError(
                            f"{WEIGHTS_FILE}: tensor {tensor!r} has shape "
                            f"{list(found)}; this model and r={said['rank']} need "
                            f"{list(shape)}. Is the adapter of another model?"
                        )
                    arrays[name, letter] = file.read(tensor, np.float32)
        if self.lora is not None:
            self.remove_lora()
        self._attach({name: modules[name] for name in names}, **said)
        self.freeze("*")
        for name in names:
            down, up = _matrices(layers, modules[name])
            down.assign(arrays[name, "A"])
            up.assign(arrays[name, "B"])

    # --- Names ------------------------------------------------------------------------

    def _linears(self):
        """Linear layers by the path of their weight."""
        owners = {
            id(x.weight): x for x in self._flatten_layers() if isinstance(x, Linear)
        }
        paths = self.weights_by_path().items()
        return {path: owners[id(w)] for path, w in paths if id(w) in owners}

    def _modules(self):
        """Parts of Linear layers by the names of Hugging Face's modules.

        A configuration that no family can say has the names of its weights.
        """
        linears, weights = self._linears(), self.weights_by_path()
        try:
            family = families.family_for(self.config, self.assembly)
        except ConfigError:
            return {
                path.removesuffix(".weight"): Part(path, path, (0, x.units), False)
                for path, x in linears.items()
            }
        parts = parts_of(
            family.table_for(self.config, self.architecture),
            weights,
            heads=self.heads,
            config=self.config,
            prefix=self.architecture != "model",
        )
        return {
            part.tensor.removesuffix(".weight"): part
            for part in parts
            if part.weight in linears
        }

    def _head_modules(self):
        """Modules of the output head, which "all-linear" leaves out."""
        head = ("lm_head.weight", "classifier.weight")
        return {name for name, part in self._modules().items() if part.weight in head}


def _matrices(layers, part):
    """A and B of a module."""
    lora = layers[part.weight]._lora
    at = lora.parts.index(part.rows)
    return lora.downs[at], lora.ups[at]


def _chosen(target, modules, heads):
    """Names of the modules that peft's `target_modules` means, in their order."""
    if target == ALL_LINEAR:
        return [name for name in modules if name not in heads]
    if isinstance(target, str):
        try:
            pattern = re.compile(target)
        except re.error as error:
            raise InputError(f"target={target!r}: no regular expression.") from error
        found = {name for name in modules if pattern.fullmatch(name)}
        if not found:
            raise InputError(_no_module(target, modules))
    else:
        found = set()
        for end in target:
            here = {n for n in modules if n == end or n.endswith(f".{end}")}
            if not here:
                raise InputError(_no_module(end, modules))
            found |= here
    return [name for name in modules if name in found]


def _no_module(name, modules):
    ends = dict.fromkeys(re.sub(r".*\.\d+\.", "", module) for module in modules)
    return (
        f"target={name!r} is no linear layer of this model. It has "
        f"{shortened(ends, 12)}."
    )


def _shortest(names, modules):
    """The last parts of names, where these mean the same modules; else the names."""
    ends = sorted({name.rpartition(".")[2] for name in names})
    return ends if set(_chosen(ends, modules, ())) == set(names) else list(names)


def _read_config(config, directory):
    """Arguments of `_attach` from an adapter_config.json."""

    def refuse(problem):
        raise CheckpointError(f"{directory}: {CONFIG_FILE} {problem}")

    if config.get("peft_type") != "LORA":
        refuse(
            f"says peft_type={shorten(config.get('peft_type'))}; 'LORA' alone is known."
        )
    for name, value in config.items():
        plain = not value or (name == "bias" and value == "none")
        if name not in HARMLESS | READ and not plain:
            refuse(
                f"says {shorten(name)}: {shorten(value)}, which is not known here and "
                "may change what is computed. Merge the adapter with peft, and load "
                "the whole model."
            )
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if type(rank) is not int or not 0 < rank <= MOST_RANK:
        refuse(f"says r={shorten(rank)}; expected a number from 1 to {MOST_RANK}.")
    if type(alpha) not in (int, float) or not 0 < alpha < 1e30:
        refuse(f"says lora_alpha={shorten(alpha)}; expected a positive number.")
    dropout = config.get("lora_dropout") or 0.0
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        refuse(f"says lora_dropout={shorten(dropout)}; expected a rate in [0, 1).")
    rslora = config.get("use_rslora") or False
    if rslora not in (True, False):
        refuse(f"says use_rslora={shorten(rslora)}; expected true or false.")
    return {"rank": rank, "alpha": alpha, "dropout": dropout, "rslora": bool(rslora)}


def _adapted(file, modules):
    """Names of the modules that a file has a whole pair for, in the model's order."""
    expected: Mapping[str, str] = {
        f"{PREFIX}{name}.lora_{letter}.weight": name
        for name in modules
        for letter in "AB"
    }
    strays = [name for name in file.tensors if name not in expected]
    if strays or not file.tensors:
        found = shortened(map(shorten, strays), 3) or "no tensors"
        raise CheckpointError(
            f"{WEIGHTS_FILE} has {found}; this model's adapters have tensors such as "
            f"{shortened(expected, 2)}. Is the adapter of another model?"
        )
    names = {expected[name] for name in file.tensors}
    for name, module in expected.items():
        if module in names and name not in file.tensors:
            raise CheckpointError(f"{WEIGHTS_FILE} lacks tensor {name!r}.")
    return [name for name in modules if name in names]


def _check_target(config, names, modules, heads):
    """Refuses a file that lacks modules which its configuration names."""
    target = config.get("target_modules")
    texts = isinstance(target, list) and all(isinstance(x, str) for x in target)
    if not texts and not isinstance(target, str):
        raise CheckpointError(
            f"{CONFIG_FILE} says target_modules={shorten(target)}; expected names."
        )
    if isinstance(target, str) or config.get("exclude_modules"):
        return  # a stranger's regular expression is not run
    meant = {n for n in modules if any(f".{n}".endswith(f".{x}") for x in target)}
    if lacking := sorted(meant - set(names)):
        raise CheckpointError(
            f"{WEIGHTS_FILE} has no tensors of {shortened(lacking, 3)}, which "
            f"target_modules of {CONFIG_FILE} names."
        )
