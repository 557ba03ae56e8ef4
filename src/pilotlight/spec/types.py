"""The types of a config's values: what YAML has no type for, and what is allowed.

`Meta(extra={"kind": ...})` tells the loader and the schema how a value is written. A constraint stands on the
inner type (`Annotated[int, Meta(ge=1)] | None`), since msgspec cannot put one on a union.
"""

from typing import Annotated, Literal

from msgspec import Meta

ENGINES = ("llamacpp", "vllm", "vllm-cpu", "sglang", "command")
"""What `engine` may say."""

OF_LLAMACPP = ("source", "engine_args")
"""Keys of a model for every engine but `command`."""

OF_COMMAND = ("cmd", "cwd", "stop_cmd", "proxy", "health", "served_name")
"""Keys of a model for `engine: command` only."""

SLEEPLESS = ("vllm-cpu", "sglang", "command")
"""Engines that cannot be put to sleep."""

NOT_OF_COMMAND = (*OF_LLAMACPP, "techniques", "sleep_after", "sleep_level", "warmer")
"""Keys that say nothing to a command, and that it does not get from `defaults`."""

Duration = Annotated[float, Meta(ge=0, extra={"kind": "duration"})]
"""Seconds; written `30s`, `5m`, `1h30m` or as a number."""

PositiveDuration = Annotated[float, Meta(gt=0, extra={"kind": "duration"})]

DurationOrNever = Annotated[float, Meta(ge=0, extra={"kind": "duration", "never": True})]
"""Seconds, or infinity, which is written -1."""

PositiveOrNever = Annotated[float, Meta(gt=0, extra={"kind": "duration", "never": True})]

Size = Annotated[int, Meta(ge=1024, extra={"kind": "size"})]
"""Bytes; written `512MiB`, `16GiB` or as a number."""

Memory = Annotated[int, Meta(ge=2**20, extra={"kind": "size"})]
"""Bytes of memory. The lower bound catches `memory: 16` where 16GiB was meant."""

Fraction = Annotated[float, Meta(ge=0, le=1, extra={"kind": "percent"})]
"""A part of one; written `5%` or `0.05`."""

Rate = Annotated[float, Meta(gt=0, extra={"kind": "rate"})]
"""Per second; written `0.5/s`, `2/m`, `30/h` or `100/d`."""

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]

Name = Annotated[
    str,
    Meta(
        pattern=r"^(?!.*(?:^|/)\.{0,2}(?:/|$))[A-Za-z0-9._/:-]{1,128}$",
        extra={
            "form": "1 to 128 letters, digits and . _ - : in parts divided by /, no part empty or only dots"
        },
    ),
]
"""What a request may call a model. It also names log files, so no part of it is empty, `.` or `..`."""

Variable = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", extra={"form": "letters, digits and _, no digit first"}),
]
"""The name of an environment variable."""

Text = Annotated[str, Meta(min_length=1)]
TECHNIQUES = ("zygote", "warm_pool", "stream", "read_ahead", "huge_pages", "snapshot", "sleep")
"""What `techniques` may name; coldstart/techniques.py says what each does."""

EngineName = Annotated[str, Meta(extra={"kind": "engine"})]

RequestClass = Literal["critical", "standard", "batch"]
"""What goes first and what may wait."""

CronText = Annotated[str, Meta(extra={"kind": "cron"})]
"""Five fields as crontab(5) has them; cron.py reads them."""

TechniqueName = Annotated[str, Meta(extra={"kind": "technique"})]

FilePath = Annotated[str, Meta(min_length=1, extra={"kind": "path"})]
"""Relative to the config file where it is written, absolute in the value; `~/` is the home folder."""

Source = Annotated[str, Meta(min_length=1, extra={"kind": "source"})]
"""A path like FilePath, or a URL."""

Template = Annotated[str, Meta(extra={"kind": "template"})]
"""`${PORT}` and `${PID}` stay in it; the worker fills them."""

Command = Annotated[str, Meta(min_length=1, extra={"kind": "command"})]
"""A template; a backslash at the end of a line joins it with the next."""

Device = Annotated[int, Meta(ge=0)]
"""As CUDA_VISIBLE_DEVICES counts."""

Auto = Annotated[str, Meta(pattern="^auto$", extra={"form": "`auto`"})]
Argument = bool | int | float | str


def doc(text: str) -> Meta:
    """What a key means; the one source of the JSON schema and of docs/configuration.md."""
    return Meta(description=text)
