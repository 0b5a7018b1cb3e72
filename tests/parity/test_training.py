"""Losses equal those of transformers, and schedules; adapters are those of peft."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
pytestmark = pytest.mark.parity

from tests.parity import comparison, reference  # noqa: E402
from tests.parity.cases import BERT, GPT2, LLAMA, T5  # noqa: E402
from zoo.families import FAMILIES  # noqa: E402
from zoo.training.losses import CrossEntropy  # noqa: E402
from zoo.training.schedules import WarmupDecay  # noqa: E402

SETTINGS = {"gpt2": GPT2, "llama": LLAMA, "t5": T5, "bert": BERT}


def pair(family, directory, architecture=None):
    """A random model of the reference, and zoo's of the same weights."""
    theirs = reference.reference_model(
        family, SETTINGS[family], architecture=architecture
    )
    theirs.save_pretrained(directory)
    cls = comparison.model_class(family, architecture)
    return theirs, cls.from_pretrained(directory)


def rows(family, count=4, length=9):
    random = np.random.default_rng(0)
    ids = random.integers(3, SETTINGS[family]["vocab_size"], (count, length))
    mask = np.ones_like(ids)
    mask[0, 6:] = mask[1, 3:] = 0
    return {"input_ids": ids.astype("int32"), "attention_mask": mask.astype("int32")}


def as_torch(batch):
    return {
        name: torch.tensor(value, dtype=torch.long) for name, value in batch.items()
    }


@pytest.mark.parametrize("family", ["gpt2", "llama", "t5"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_the_reference(family, smoothing, tmp_path):
    theirs, ours = pair(family, tmp_path)
    batch = rows(family)
    labels = np.where(batch["attention_mask"], batch["input_ids"], -100)
    labels[2, :4] = -100  # a prompt, which is not to be learnt
    if family == "t5":
        labels = labels[:, :5]
    with torch.no_grad():
        given = as_torch({**batch, "labels": labels})
        output = theirs(**given)
        if smoothing:
            smoother = transformers.trainer_pt_utils.LabelSmoother(smoothing)
            shift = family != "t5"
            expected = smoother(output, given["labels"], shift_labels=shift)
        else:
            expected = output.loss
    ours.compile(loss=CrossEntropy(label_smoothing=smoothing), run_eagerly=True)
    found = ours.evaluate({**batch, "labels": labels}, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(float(expected), rel=1e-5)


def test_a_masked_language_model_has_the_loss_of_the_reference(tmp_path):
    theirs, ours = pair("bert", tmp_path, "masked_lm")
    batch = rows("bert")
    labels = np.where(np.arange(9) % 3 == 1, batch["input_ids"], -100)
    with torch.no_grad():
        expected = theirs(**as_torch({**batch, "labels": labels})).loss
    found = ours.evaluate({**batch, "labels": labels}, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("decay", ["linear", "cosine", "inverse_sqrt", "constant"])
def test_schedules_fall_as_those_of_the_reference(decay):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    names = {
        "linear": transformers.get_linear_schedule_with_warmup,
        "cosine": transformers.get_cosine_schedule_with_warmup,
        "inverse_sqrt": transformers.get_inverse_sqrt_schedule,
        "constant": transformers.get_constant_schedule_with_warmup,
    }
    total = {"num_training_steps": 40} if decay in ("linear", "cosine") else {}
    theirs = names[decay](optimizer, num_warmup_steps=8, **total)
    ours = WarmupDecay(2.0, decay, warmup_steps=8, total_steps=40)
    for step in range(40):
        if step >= 8:  # theirs begins its rise with a step of 0, ours does not
            assert float(ours(step)) == pytest.approx(theirs.get_last_lr()[0], abs=1e-6)
        optimizer.step()
        theirs.step()


ADAPTERS = {
    "gpt2": ("gpt2", None, ["c_attn"]),
    "gpt2, feed-forward": ("gpt2", None, ["c_fc", "mlp.c_proj"]),
    "llama": ("llama", None, ["q_proj", "v_proj"]),
    "llama, all": ("llama", None, "all-linear"),
    "llama, gate": ("llama", None, ["up_proj", "down_proj", "k_proj"]),
    "t5": ("t5", None, ["q", "v", "wo"]),
    "bert": ("bert", None, ["query", "value"]),
    "bert, masked": ("bert", "masked_lm", ["key", "dense"]),
}


@pytest.fixture(params=ADAPTERS)
def adapted(request, tmp_path):
    """Names, a model of the reference, zoo's, and an input."""
    family, architecture, target = ADAPTERS[request.param]
    theirs, ours = pair(family, tmp_path / "base", architecture)
    batch = rows(family)
    if FAMILIES[family].assembly == "encoder_decoder":
        batch["decoder_input_ids"] = batch["input_ids"][:, :5]
    return target, theirs, ours, batch


def outputs(theirs, ours, batch):
    with torch.no_grad():
        expected = theirs.eval()(**as_torch(batch))[0].numpy()
    valid = batch["attention_mask"][:, : expected.shape[1]].astype(bool)
    if "decoder_input_ids" in batch:
        valid[:] = True
    return np.asarray(ours(batch))[valid], expected[valid]


def test_an_adapter_of_peft_computes_the_same_here(adapted, tmp_path):
    target, theirs, ours, batch = adapted
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=target)
    theirs = peft.get_peft_model(theirs, config)
    torch.manual_seed(0)
    for name, weight in theirs.named_parameters():
        if "lora_" in name:
            weight.data.normal_(0.0, 0.3)
    theirs.save_pretrained(tmp_path / "adapter")
    plain = np.asarray(ours(batch))
    ours.load_lora(tmp_path / "adapter")
    found, expected = outputs(theirs, ours, batch)
    assert comparison.distance(found, expected) < 1e-5
    assert comparison.distance(np.asarray(ours(batch)), plain) > 1e-2
    ours.merge_lora()
    assert comparison.distance(outputs(theirs, ours, batch)[0], expected) < 1e-5


def test_an_adapter_from_here_computes_the_same_in_peft(adapted, tmp_path):
    target, theirs, ours, batch = adapted
    ours.add_lora(3, 5, target=target, rslora=True)
    random = np.random.default_rng(0)
    for weight in ours.trainable_weights:
        weight.assign(random.normal(0, 0.3, weight.shape))
    ours.save_lora(tmp_path / "adapter")
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter")
    found, expected = outputs(theirs, ours, batch)
    assert comparison.distance(found, expected) < 1e-5
    again = theirs.peft_config["default"]
    assert (again.r, again.lora_alpha) == (3, 5)
    if target != "all-linear":
        return
    ours.merge_lora()
    ours.save_pretrained(tmp_path / "merged")
    merged = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    with torch.no_grad():
        whole = merged(**as_torch(batch))[0].numpy()
    valid = batch["attention_mask"].astype(bool)
    assert comparison.distance(whole[valid], expected) < 1e-5
