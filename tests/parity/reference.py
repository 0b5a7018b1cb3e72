"""The other side: tiny random models of `transformers`, and what they compute.

Everything is in float32 on the CPU, with eager attention: only there does a query that
sees no key stay finite.
"""

import inspect

import numpy as np
import torch
import transformers
from transformers.core_model_loading import revert_weight_conversion

from zoo.families import FAMILIES

HEADS = {"encoder": "model", "decoder": "causal_lm", "encoder_decoder": "seq2seq_lm"}
LENGTH = 13
IGNORED = -100  # label of a token that does not count


def reference_model(family, settings, *, seed=0, architecture=None):
    """A random model of `transformers`, in which every mechanism matters.

    Args:
        family: Key of `zoo.families.FAMILIES`.
        settings: Keyword arguments of its HF configuration.
        architecture: Key of `Family.architectures`; the family's usual one by default.
    """
    row = FAMILIES[family]
    name = row.architectures[architecture or HEADS[row.assembly]]
    model_class = getattr(transformers, name)
    config = model_class.config_class(**settings)
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    model = model_class(config).eval()
    randomize(model)
    return model


@torch.no_grad()
def randomize(model):
    """Weights so large that attention is sharp and no norm or bias is the identity."""
    for name, weight in model.named_parameters():
        if weight.ndim == 1:
            weight.normal_(0.0 if name.endswith("bias") else 1.0, 0.3)
        elif "embed" in name or name.endswith(
            ("shared.weight", "wte.weight", "bias.weight")
        ):
            weight.normal_(0.0, 0.7)
        else:
            fan_in = weight.shape[0 if is_conv1d(model, name) else 1]
            if name.endswith(".q.weight"):  # T5 scales here and not the scores
                fan_in *= model.config.d_kv
            weight.normal_(0.0, fan_in**-0.5)


def is_conv1d(model, name):
    """Whether a weight is stored [in, out], as GPT-2's are."""
    module = model.get_submodule(name.rpartition(".")[0])
    return type(module).__name__ == "Conv1D"


def batch(family, settings, *, seed=0, length=LENGTH, architecture=None):
    """A ragged batch by HF's names, as numpy arrays.

    Its rows: full, padded on the right, padded on the left, padded on both sides,
    padded throughout. What stands in padding is as random as the rest. Rows that are
    to be classified have one end-of-sequence token, their last.

    Args:
        family, settings, architecture: As of `reference_model`.
    """
    random = np.random.default_rng(seed)
    assembly = FAMILIES[family].assembly
    mask = np.ones((5, length), np.int32)
    mask[1, length - 4 :] = 0
    mask[2, :5] = 0
    mask[3, :2] = mask[3, length - 3 :] = 0
    mask[4] = 0

    def ids(high, low=0):
        return random.integers(low, high, mask.shape).astype(np.int32)

    # `transformers` never trains the row of BERT's padding id 0: keep it in padding.
    tokens = np.where(mask, ids(settings["vocab_size"], 1), ids(settings["vocab_size"]))
    if (pad := settings.get("pad_token_id")) is not None:
        tokens = np.where(mask, tokens, pad)  # its heads tell padding by the id
    if architecture == "sequence_classification":
        end = settings.get("eos_token_id", 1)
        tokens = np.where(tokens == end, end + 1, tokens)
        last = length - 1 - np.argmax(mask[:, ::-1], 1)
        tokens[np.arange(5), last] = end
    inputs = {"input_ids": tokens.astype(np.int32), "attention_mask": mask}
    if assembly == "encoder":
        inputs["token_type_ids"] = ids(settings.get("type_vocab_size", 2))
    if assembly == "encoder_decoder" and architecture is None:
        # Another length and other padding on this side.
        inputs["decoder_input_ids"] = ids(settings["vocab_size"])[:, :-2]
        inputs["decoder_attention_mask"] = mask[[0, 2, 1, 3, 4], :-2]
    return inputs


def output_mask(inputs):
    """Which positions of the output are valid, bool `[B, T]`."""
    return inputs.get("decoder_attention_mask", inputs["attention_mask"]) != 0


def labels_of(valid, classes, *, seed=1):
    """Random labels where `valid`, and `IGNORED` elsewhere."""
    random = np.random.default_rng(seed)
    return np.where(valid, random.integers(0, classes, valid.shape), IGNORED)


def positions_of(mask):
    """Where `transformers` has to be told what zoo counts itself."""
    return np.maximum(mask.cumsum(1) - 1, 0)


def to_torch(inputs):
    return {
        name: torch.tensor(value, dtype=torch.long) for name, value in inputs.items()
    }


def reread(inputs, start=0):
    """Inputs, and for a decoder the same text behind `start`, wherever it begins."""
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    before = np.pad(mask[:, :-1], [(0, 0), (1, 0)])
    shifted = np.where(before, np.roll(ids, 1, axis=1), start)
    beside = {"decoder_input_ids": shifted, "decoder_attention_mask": mask}
    return {**inputs, **beside}


def call(model, inputs, **options):
    """What the reference returns, with positions as zoo counts them."""
    family = FAMILIES[model.config.model_type]
    takes = inspect.signature(model.forward).parameters
    if "decoder_input_ids" in takes and "decoder_input_ids" not in inputs:
        inputs = reread(inputs)
    given = to_torch(inputs)
    if family.assembly == "decoder" and "position_ids" not in inputs:
        given["position_ids"] = torch.tensor(positions_of(inputs["attention_mask"]))
    return model(**given, output_hidden_states=True, **options)


def last_of(out):
    """Logits, or the last hidden state of a model without a head.

    Of a model for questions those of first and of last tokens, `[B, 2, T]`.
    """
    if "start_logits" in out:
        return torch.stack([out.start_logits, out.end_logits], 1)
    return out.logits if "logits" in out else out.last_hidden_state


def states_of(out):
    """Every hidden state in numpy, by the name of its stack where there are two."""
    if "decoder_hidden_states" in out:
        states = {
            "encoder": out.encoder_hidden_states,
            "decoder": out.decoder_hidden_states,
        }
    else:
        states = {"": out.hidden_states}
    return {name: [x.detach().numpy() for x in every] for name, every in states.items()}


@torch.no_grad()
def attentions_of(model, inputs):
    """Attention weights of every layer in numpy, by what attends where it differs."""
    out = call(model, inputs, output_attentions=True)
    if "encoder_attentions" in out:
        kinds = ("encoder", "decoder", "cross")
        found = {kind: out[f"{kind}_attentions"] for kind in kinds}
    else:
        found = {"": out.attentions}
    return {kind: [x.numpy() for x in layers] for kind, layers in found.items()}


@torch.no_grad()
def output_of(model, inputs):
    """Logits or last hidden state, in numpy."""
    return last_of(call(model, inputs)).numpy()


@torch.no_grad()
def run_forward(model, inputs):
    """Output and states, in numpy."""
    out = call(model, inputs)
    return last_of(out).numpy(), states_of(out)


def run_reference(model, inputs, labels):
    """Outputs, hidden states, loss, and the gradient of each tensor by its name.

    The loss is the cross-entropy of the last output over the valid positions; BERT's
    pooled output joins it, so that the pooler has a gradient.
    """
    model.zero_grad()
    out = call(model, inputs)
    last = last_of(out)
    loss = torch.nn.functional.cross_entropy(
        last.reshape(-1, last.shape[-1]),
        torch.tensor(labels).flatten(),
        ignore_index=IGNORED,
    )
    if out.get("pooler_output") is not None:
        loss = loss + out.pooler_output[valid_rows(inputs)].square().mean()
    loss.backward()
    return {
        "output": last.detach().numpy(),
        "states": states_of(out),
        "loss": loss.item(),
        "gradients": {
            name: gradient.numpy()
            for name, gradient in by_names_of_files(model).items()
        },
    }


def valid_rows(inputs):
    """Rows with at least one valid token, bool `[B]`."""
    return output_mask(inputs).any(1)


def by_names_of_files(model):
    """The gradient of each tensor of its checkpoints, which may be named otherwise."""
    gradients = {
        name: weight.grad
        for name, weight in model.named_parameters()
        if weight.grad is not None
    }
    return revert_weight_conversion(model, gradients)
