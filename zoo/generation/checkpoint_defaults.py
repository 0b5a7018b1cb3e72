"""What a checkpoint's generation_config.json says, as defaults of a call.

A default that does not apply to the call is passed over, as in transformers 5.23. What
would change tokens, and is not there in zoo, is refused.
"""

import warnings
from reprlib import repr as short
from typing import Any

from zoo.errors import CheckpointError
from zoo.generation.forms import FORMS, OF_BEAMS, OF_SAMPLING, checked

# Keys of a generation_config.json that change no token: how the reference caches,
# compiles and reports, how fast an assistant drafts, and who wrote the file. NaN does
# not leave our models, so there is nothing for remove_invalid_values to remove.
HARMLESS = frozenset(
    """
    transformers_version _from_model_config _commit_hash trust_remote_code chat_format
    max_window_size use_cache cache_implementation cache_config max_cache_len
    return_legacy_cache low_memory compile_config disable_compile prefill_chunk_size
    continuous_batching_config return_dict_in_generate output_scores output_logits
    output_logprobs output_attentions output_hidden_states is_assistant
    num_assistant_tokens num_assistant_tokens_schedule assistant_confidence_threshold
    prompt_lookup_num_tokens max_matching_ngram_size assistant_early_exit
    assistant_lookbehind target_lookbehind assistant_ensemble_weight speculation_type
    use_mtp remove_invalid_values
    """.split()
)
# Keys that would change tokens and that zoo does not have -> the value that is "off".
NOT_HONOURED: dict[str, Any] = {
    "max_time": None,
    "top_h": None,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "encoder_repetition_penalty": 1.0,
    "encoder_no_repeat_ngram_size": 0,
    "exponential_decay_length_penalty": None,
    "sequence_bias": None,
    "token_healing": False,
    "guidance_scale": 1.0,
    "watermarking_config": None,
    "dola_layers": None,
    "constraints": None,
    "force_words_ids": None,
}


def inherited_options(values):
    """The options that a generation_config.json sets, each in its one form."""
    inherited, unknown = {}, []
    for name, value in values.items():
        if value is None or name in HARMLESS or name in NOT_HONOURED:
            continue
        if name == "pad_token_id" and value == -1:
            continue  # how old Llama checkpoints say that there is none
        if name in FORMS:
            inherited[name] = checked(
                name, value, CheckpointError, "generation_config.json: "
            )
        else:
            unknown.append(name)
    if unknown:
        warnings.warn(
            f"generation_config.json has keys that generation does not read: {unknown}",
            stacklevel=4,
        )
    return inherited


def refuse_what_is_not_honoured(values, sampling):
    """Refuses a file that would change tokens in a way that zoo does not have.

    Args:
        values: What the file says.
        sampling: Whether tokens are drawn; some keys change nothing else.

    Raises:
        CheckpointError: naming the key.
    """
    of_draws = ("top_h", "epsilon_cutoff", "eta_cutoff")
    for name, neutral in NOT_HONOURED.items():
        value = values.get(name)
        if value is None or value == neutral or (name in of_draws and not sampling):
            continue
        raise CheckpointError(
            f"generation_config.json: {name}={short(value)} would change what is "
            f"written, and zoo does not have it. Set it to {neutral!r} there, or leave "
            "it out, if you can do without."
        )


def not_applicable(inherited, options, defaults):
    """Names of inherited options that the call, or another inherited one, overrules.

    They are found in turn: first what the caller's strategy leaves no room for, then
    what the strategy that results does not read.
    """
    chosen = {**defaults, **inherited, **options}
    left_out = []

    def leave_out(*names):
        for name in names:
            if name not in options:
                left_out.append(name)
                chosen[name] = defaults[name]

    if options.get("penalty_alpha") or options.get("num_assistant_tokens"):
        leave_out("do_sample", "num_beams")
    if options.get("num_beam_groups", 1) > 1:
        leave_out("do_sample")
    if (
        chosen["do_sample"]
        or chosen["num_beams"] > 1
        or chosen["num_assistant_tokens"] is not None
    ):
        leave_out("penalty_alpha")
    if chosen["do_sample"] or chosen["num_beams"] % chosen["num_beam_groups"]:
        leave_out("num_beam_groups", "diversity_penalty")
    if not chosen["do_sample"]:
        leave_out(*(name for name in OF_SAMPLING if name != "top_k"))
        if not chosen["penalty_alpha"]:
            leave_out("top_k")
    if chosen["num_beams"] == 1:
        leave_out(*OF_BEAMS, "renormalize_logits")
    most = chosen["num_return_sequences"]
    if chosen["num_beams"] > 1:
        most = chosen["num_beams"]
    elif not chosen["do_sample"]:
        most = 1
    if chosen["num_return_sequences"] > most:
        leave_out("num_return_sequences")
    if options.get("max_length") is not None:
        leave_out("max_new_tokens")
    elif chosen["max_new_tokens"] is not None:
        leave_out("max_length")
    return left_out
