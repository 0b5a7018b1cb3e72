"""Tiny GGUF files: good ones by the `gguf` package, others byte by byte."""

import struct

import gguf
import numpy as np

QUANTIZED = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K")
KINDS = ("F32", "F16", "BF16", *QUANTIZED)

# Rows are long enough for the blocks of 256 of the K types.
SIZES = {
    "context_length": 32,
    "embedding_length": 256,
    "block_count": 2,
    "feed_forward_length": 512,
    "attention.head_count": 4,
}
VOCABULARY = 40
EPSILON = {
    "llama": "attention.layer_norm_rms_epsilon",
    "qwen2": "attention.layer_norm_rms_epsilon",
    "gpt2": "attention.layer_norm_epsilon",
}


def settings_of(arch, **changes):
    """What a file says of a tiny model; two key and value heads but for GPT-2."""
    own = {**SIZES, EPSILON[arch]: 1e-5}
    if arch != "gpt2":
        own |= {"attention.head_count_kv": 2, "rope.freq_base": 10_000.0}
    named = {f"{arch}.{key}": value for key, value in own.items()}
    return {"general.architecture": arch, **named, **changes}


def shapes_of(arch, *, layers=2, tied=False):
    """Name -> shape of all tensors of the tiny model."""
    d, f, kv = 256, 512, 128
    shapes = {"token_embd.weight": (VOCABULARY, d), "output_norm.weight": (d,)}
    if not tied:
        shapes["output.weight"] = (VOCABULARY, d)
    block = {"attn_norm.weight": (d,), "ffn_norm.weight": (d,)}
    if arch == "gpt2":
        shapes |= {"position_embd.weight": (32, d), "output_norm.bias": (d,)}
        linear = {
            "attn_qkv": (3 * d, d),
            "attn_output": (d, d),
            "ffn_up": (f, d),
            "ffn_down": (d, f),
        }
        block |= {"attn_norm.bias": (d,), "ffn_norm.bias": (d,)}
        biases = linear
    else:
        linear = {
            "attn_q": (d, d),
            "attn_k": (kv, d),
            "attn_v": (kv, d),
            "attn_output": (d, d),
            "ffn_gate": (f, d),
            "ffn_up": (f, d),
            "ffn_down": (d, f),
        }
        biases = ("attn_q", "attn_k", "attn_v") if arch == "qwen2" else ()
    block |= {f"{name}.weight": shape for name, shape in linear.items()}
    block |= {f"{name}.bias": linear[name][:1] for name in biases}
    for layer in range(layers):
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in block.items()}
    return shapes


def stored(shape, kind, random):
    """Random data of a tensor as it stands in a file, and the numbers it stands for."""
    quant = gguf.GGMLQuantizationType[kind]
    block, size = gguf.GGML_QUANT_SIZES[quant]
    if block == 1:
        data = gguf.quants.quantize(
            random.standard_normal(shape).astype(np.float32), quant
        )
        return data, gguf.quants.dequantize(data, quant).reshape(shape)
    blocks = random.integers(0, 256, (int(np.prod(shape)) // block, size), np.uint8)
    # The scales are the first two halves of a block, but in Q6_K the last one; in the
    # types of one scale the second half holds weights and may be anything.
    scales = [slice(size - 2, size)] if kind == "Q6_K" else [slice(0, 2), slice(2, 4)]
    for where in scales[: 1 + (kind[-1] in "1K")]:
        values = random.uniform(-0.01, 0.01, (len(blocks), 1)).astype(np.float16)
        blocks[:, where] = values.view(np.uint8)
    data = blocks.reshape(*shape[:-1], -1)
    return data, gguf.quants.dequantize(data, quant)


def random_tensors(arch, kind="F32", *, seed=0, **options):
    """Name -> (data as stored, kind, numbers) of a tiny model; norms are in float32."""
    random = np.random.default_rng(seed)
    tensors = {}
    for name, shape in shapes_of(arch, **options).items():
        own = kind if len(shape) > 1 else "F32"
        tensors[name] = (*stored(shape, own, random), own)
    return {name: (data, own, values) for name, (data, values, own) in tensors.items()}


def as_float32(arrays):
    """The same for arrays: name -> (data, kind, numbers)."""
    return {name: (array, "F32", array) for name, array in arrays.items()}


def write(path, settings, tensors):
    """Writes a file with the `gguf` package."""
    writer = gguf.GGUFWriter(path, settings["general.architecture"])
    for key, value in settings.items():
        if key != "general.architecture":
            put_setting(writer, key, value)
    for name, (data, kind, _) in tensors.items():
        quant = gguf.GGMLQuantizationType[kind]
        raw = None if kind in ("F32", "F16") else quant
        writer.add_tensor(name, np.ascontiguousarray(data), raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def put_setting(writer, key, value):
    if key == "general.alignment":
        writer.add_custom_alignment(value)
    elif isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


# -- Byte by byte

UINT32, FLOAT32, BOOL, STRING, ARRAY, UINT64 = 4, 6, 7, 8, 9, 10


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def setting(key, kind, data):
    return text(key) + struct.pack("<I", kind) + data


def tensor(name, sizes=(4,), kind=0, offset=0):
    """The description of a tensor; `sizes` are fastest first, as in the file."""
    return (
        text(name)
        + struct.pack("<I", len(sizes))
        + struct.pack(f"<{len(sizes)}Q", *sizes)
        + struct.pack("<IQ", kind, offset)
    )


def encode(settings=(), tensors=(), data=b"", *, counts=None, version=3, magic=b"GGUF"):
    """The bytes of a file; `counts` are (tensors, settings) as the header tells."""
    counts = (len(tensors), len(settings)) if counts is None else counts
    head = magic + struct.pack("<IQQ", version, *counts)
    head += b"".join(settings) + b"".join(tensors)
    return head + b"\0" * (-len(head) % 32) + data
