"""Benchmark `decode`: text generation with the same weights in three libraries.

Every row asks each library for the same number of new tokens; nothing may end earlier.
A step is one whole call, prompts included, as a user makes it.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from tools import benchmark_load
from tools.benchmark_encoder import (
    compilation,
    set_tensorflow_threads,
    tensorflow_threads,
)
from tools.benchmark_language_model import t5_config
from tools.benchmark_turns import Contender, Session, best_of

PAD = 0
# 32 tokens of SmolLM2.
PASSAGE = (
    "The lighthouse stood at the end of a long spit of sand, and for a hundred years "
    "its keepers had written down the weather of every day they were there and"
)


@dataclass(frozen=True)
class Work:
    """What is generated.

    Attributes:
        model: "gpt2", "smollm2" or "t5".
        shortest: Tokens of the shortest prompt; the rest spread up to `prompt`.
        streamed: Whether zoo's text in pieces is compared with its text at once.
    """

    model: str
    batch: int
    prompt: int
    new: int
    beams: int = 1
    shortest: int | None = None
    streamed: bool = False

    def prompts(self, vocabulary):
        """Rows of ids."""
        random = np.random.default_rng(0)
        low = self.prompt if self.shortest is None else self.shortest
        lengths = np.linspace(low, self.prompt, self.batch).astype(int)
        return [random.integers(3, vocabulary - 8, size).tolist() for size in lengths]


WORKS = {
    "greedy, batch 1": Work("gpt2", 1, 32, 96),
    "greedy, batch 8": Work("gpt2", 8, 32, 96),
    "greedy, batch 8, prompts of 8 to 128": Work("gpt2", 8, 128, 96, shortest=8),
    "beam 4, batch 4": Work("gpt2", 4, 32, 64, beams=4),
    "SmolLM2-135M, greedy, batch 1": Work("smollm2", 1, 32, 96),
    "SmolLM2-135M, greedy, text in pieces": Work("smollm2", 1, 32, 96, streamed=True),
    "T5-small shape, greedy, batch 8": Work("t5", 8, 64, 64),
}


def checkpoint(work, *, cache=None):
    """Directory of the weights that all contenders load."""
    if work.model == "gpt2":
        return benchmark_load.make_checkpoint(cache=cache)
    from zoo.files import cache_directory

    directory = cache_directory(cache) / "benchmarks" / work.model
    if not (directory / "config.json").exists():
        made = {"smollm2": smollm2, "t5": t5_small}[work.model]()
        made.save_pretrained(directory)
    return directory


def smollm2():
    """The real weights, dequantised."""
    from zoo import GPTModel
    from zoo.data.samples import fetch

    return GPTModel.from_pretrained(fetch("smollm2-gguf"))


def t5_small():
    """The shape of T5-small, with random weights."""
    from zoo import T5Model

    return T5Model(
        t5_config(
            vocab_size=32_128,
            hidden_size=512,
            num_attention_heads=8,
            num_hidden_layers=6,
            intermediate_size=2_048,
        )
    )


def contenders(work, directory, threads=None):
    """Who is measured; KerasHub has no T5 that generates, and reads no such Llama."""
    options = {"work": asdict(work), "directory": str(directory), "threads": threads}
    if work.streamed:
        return [
            Contender(name, start_text, {**options, "stream": stream})
            for name, stream in (("zoo", False), ("zoo, streaming", True))
        ]
    found = [Contender("zoo", start_zoo, options)]
    if work.model == "gpt2":
        found.append(Contender("KerasHub", start_keras_hub, options, ("keras_hub",)))
    torch = ("torch", "transformers")
    return [*found, Contender("transformers", start_transformers, options, torch)]


def start_zoo(work, directory, threads):
    work = Work(**work)
    set_tensorflow_threads(threads)
    from zoo import GPTModel, T5Model

    model = (T5Model if work.model == "t5" else GPTModel).from_pretrained(directory)
    prompts = work.prompts(model.config.vocab_size)
    options = {"max_new_tokens": work.new, "eos_token_id": None, "pad_token_id": PAD}
    if work.beams > 1:
        options["num_beams"] = work.beams
    made = session(
        work,
        lambda: model.generate(prompts, **options),
        "as by default",
        tensorflow_threads(),
        tensorflow_device(),
    )
    if work.model == "gpt2" and work.batch == 1:
        read = sum(
            weight.shape.num_elements() * 4
            for path, weight in model.weights_by_path().items()
            if "positions" not in path
        )
        made.about["bytes per token"] = read
        made.about["bandwidth"] = matrix_vector_bandwidth()
    return made


def start_text(work, directory, threads, *, stream):
    """Text behind text, at once or in pieces."""
    work = Work(**work)
    set_tensorflow_threads(threads)
    from zoo import GPTModel

    model = GPTModel.from_pretrained(directory)
    options = {"max_new_tokens": work.new, "eos_token_id": None, "pad_token_id": PAD}
    found = []

    def run(count):
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            pieces = model.generate(PASSAGE, stream=stream, **options)
            found[:] = pieces if stream else [pieces]
            seconds.append(time.perf_counter() - start)
        return seconds

    def check():
        text = "".join(found)
        return {"characters": len(text), "pieces": len(found)}

    how = "text in pieces" if stream else "text at once"
    return Session(run, {"variant": how, "threads": tensorflow_threads()}, check)


def matrix_vector_bandwidth(matrices=12, rows=3_072, columns=2_304, repeats=7):
    """Bytes per second at which XLA reads matrices to multiply them by a vector."""
    import tensorflow as tf

    weights = [tf.Variable(tf.ones([rows, columns])) for _ in range(matrices)]

    @tf.function(jit_compile=True)
    def products(x):
        return [tf.linalg.matvec(weight, x) for weight in weights]

    x, seconds = tf.ones([columns]), []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        products(x)[-1].numpy()
        seconds.append(time.perf_counter() - start)
    size = matrices * rows * columns * 4
    return size / sorted(seconds[2:])[repeats // 2]


def start_keras_hub(work, directory, threads):
    """KerasHub, with and without XLA: whichever is faster here."""
    work = Work(**work)
    set_tensorflow_threads(threads)
    from keras_hub.models import GPT2Backbone, GPT2CausalLM
    from keras_hub.samplers import BeamSampler

    backbone = GPT2Backbone.from_preset(directory)
    prompts = work.prompts(backbone.vocabulary_size)
    length = work.prompt + work.new
    ids = np.full((work.batch, length), PAD, np.int32)
    mask = np.zeros((work.batch, length), bool)
    for i, row in enumerate(prompts):
        ids[i, : len(row)], mask[i, : len(row)] = row, True
    inputs = {"token_ids": ids, "padding_mask": mask}
    sampler = BeamSampler(num_beams=work.beams) if work.beams > 1 else "greedy"

    def start(jit):
        model = GPT2CausalLM(backbone=backbone, preprocessor=None)
        model.compile(sampler=sampler, jit_compile=jit)

        def call():
            found = model.generate(inputs, stop_token_ids=None)
            # Rows are filled up to one length, so that shorter prompts get more.
            return [
                row[len(prompt) : len(prompt) + work.new]
                for row, prompt in zip(found["token_ids"], prompts, strict=True)
            ]

        return session(
            work, call, compilation(jit), tensorflow_threads(), tensorflow_device()
        )

    variants = {compilation(jit): lambda jit=jit: start(jit) for jit in (True, False)}
    return best_of(variants, probe=1, warmup=1)


def start_transformers(work, directory, threads):
    """transformers in float32."""
    import torch
    from transformers import AutoModelForCausalLM, T5ForConditionalGeneration
    from transformers.utils import logging

    work = Work(**work)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    if threads:
        torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":  # TensorFlow uses TF32 on its own accord
        torch.set_float32_matmul_precision("high")
    kind = T5ForConditionalGeneration if work.model == "t5" else AutoModelForCausalLM
    model = kind.from_pretrained(directory, dtype=torch.float32).eval().to(device)
    prompts = work.prompts(model.config.vocab_size)
    ids = torch.full((work.batch, work.prompt), PAD)
    mask = torch.zeros((work.batch, work.prompt), dtype=torch.long)
    for i, row in enumerate(prompts):
        ids[i, -len(row) :], mask[i, -len(row) :] = torch.tensor(row), 1
    ids, mask = ids.to(device), mask.to(device)
    before = 1 if work.model == "t5" else work.prompt

    def call():
        with torch.inference_mode():
            found = model.generate(
                ids,
                attention_mask=mask,
                max_new_tokens=work.new,
                min_new_tokens=work.new,
                do_sample=False,
                num_beams=work.beams,
                pad_token_id=PAD,
            )
        return found[:, before:].tolist()

    where = "GPU" if device == "cuda" else "CPU"
    return session(work, call, "eager", torch.get_num_threads(), where)


def tensorflow_device():
    """Where TensorFlow computes, for the report."""
    import tensorflow as tf

    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def session(work, call: Callable, how, threads, device):
    """A `Session` of whole calls.

    Args:
        call: Gives the new ids of each prompt.
        how, threads, device: Of the report.
    """
    found: list = []

    def run(count):
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            found[:] = call()
            seconds.append(time.perf_counter() - start)
        return seconds

    def check():
        counts = {len(row) for row in found}
        if counts != {work.new}:
            raise ValueError(f"asked for {work.new} new tokens, got {sorted(counts)}")
        return {"first tokens": [int(row[0]) for row in found]}

    about = {"variant": how, "threads": threads, "device": device}
    return Session(run, about, check)
