import pytest

from pilotlight_guest import vllm_args


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("enforce_eager", True, "--enforce-eager"),
        ("enforce_eager", False, "--no-enforce-eager"),
        ("max_model_len", 4096, "--max-model-len=4096"),
        ("gpu-memory-utilization", 0.5, "--gpu-memory-utilization=0.5"),
        ("--load-format", "auto", "--load-format=auto"),
        ("chat_template", "-x y", "--chat-template=-x y"),
        ("override_generation_config", '{"a": 1}', '--override-generation-config={"a": 1}'),
        ("seed", 0, "--seed=0"),
        ("quantization", "fp8", "--quantization=fp8"),
        ("cpu_offload_gb", 1, "--cpu-offload-gb=1"),
    ],
)
def test_arguments_as_words(name: str, value: bool | int | float | str, word: str) -> None:
    assert vllm_args.flags({name: value}) == [word]


def test_what_is_reserved_is_found_however_it_is_written() -> None:
    for name in ("port", "--port", "served-model-name", "ssl_keyfile"):
        assert vllm_args.faults({name: 1}, cuda=True) == [
            f"engine_arg {name!r} is set by pilotlight; leave it out"
        ]
