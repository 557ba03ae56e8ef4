"""The types of a config's values: what YAML has no type for, and what is allowed.

`Meta(extra={"kind": ...})` tells the loader and the schema how a value is written. A constraint stands on the
inner type (`Annotated[int, Meta(ge=1)] | None`), since msgspec cannot put one on a union.
"""

from typing import Annotated

from msgspec import Meta

ENGINES = ("llamacpp", "vllm", "vllm-cpu", "sglang", "command")
"""What `engine` may say."""

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
TECHNIQUES = ("zygote", "warm_pool", "sleep")
"""What `techniques` may name; coldstart/techniques.py says what each does."""

EngineName = Annotated[str, Meta(extra={"kind": "engine"})]

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
