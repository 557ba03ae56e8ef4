"""What a changed config asks for: which replicas must be replaced, and what only a restart can apply."""

import hashlib
from typing import Any

import msgspec

from pilotlight.spec.model import Config, Model

OF_REPLICA = (
    "engine",
    "source",
    "engine_args",
    "env",
    "cmd",
    "cwd",
    "proxy",
    "health",
    "gpus",
    "gpu_memory",
)
"""What a running replica was started with; a change needs new replicas. For llamacpp its slots are such, too.

A replica keeps the `probe_interval` and `probe_timeout` it was started under, and is not replaced for them: a
change applies to the next one. All else of a model applies at once. That includes `memory`, which is a budget and
not a limit of the process, and `stop_cmd` and `served_name`, which a running server does not see; a replica that
is being replaced for another reason keeps the ones it was started under. A `warmer` is another replica with a
fingerprint of its own: what it is started with says nothing of a full one.
"""

RESTART = ("host", "port", "client_max_size", "cache_dir", "state_dir", "log_max_size", "objective")
"""Server settings that a running server keeps.

The others apply at once: a smaller `memory` or fewer `gpus` let idle replicas go and start no new ones there,
but end no request.
"""


class Changes(msgspec.Struct, frozen=True):
    """From one config to the next. Models by name, in the order of the file."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    """Need new replicas."""
    adjusted: tuple[str, ...] = ()
    """Only scaling, limits or names differ; running replicas stay."""
    fields: dict[str, tuple[str, ...]] = {}
    """The keys that differ, for each model that was replaced or adjusted."""
    applied: tuple[str, ...] = ()
    """Server settings that apply at once."""
    restart: tuple[str, ...] = ()
    """Server settings that differ and wait for a restart."""

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.removed or self.fields or self.applied or self.restart)


def changes(old: Config, new: Config) -> Changes:
    """What must happen for a server that runs `old` to run `new`."""
    fields = {
        name: _differing(old.models[name], model) for name, model in new.models.items() if name in old.models
    }
    other = {
        n for n, keys in fields.items() if keys and fingerprint(old.models[n]) != fingerprint(new.models[n])
    }
    server = [key for key in _differing(old, new) if key != "models"]
    return Changes(
        added=tuple(name for name in new.models if name not in old.models),
        removed=tuple(name for name in old.models if name not in new.models),
        unchanged=tuple(name for name, keys in fields.items() if not keys),
        replaced=tuple(name for name in fields if name in other),
        adjusted=tuple(name for name, keys in fields.items() if keys and name not in other),
        fields={name: keys for name, keys in fields.items() if keys},
        applied=tuple(key for key in server if key not in RESTART),
        restart=tuple(key for key in server if key in RESTART),
    )


def fingerprint(model: Model) -> str:
    """12 hex digits over what a replica of `model` is started with.

    The same for equal values in any run and any order of keys. Defaults are left out, so that a key added to
    pilotlight later changes no fingerprint.
    """
    plain = Model()
    parts: dict[str, Any] = {k: v for k in OF_REPLICA if (v := getattr(model, k)) != getattr(plain, k)}
    if model.engine == "llamacpp":
        parts["slots"] = model.slots
    elif model.engine in ("vllm", "vllm-cpu"):
        parts |= {"slots": model.max_requests, "made_to_sleep": model.made_to_sleep}
    data = msgspec.json.encode(parts, order="sorted")
    return hashlib.sha256(data).hexdigest()[:12]


def _differing(old: msgspec.Struct, new: msgspec.Struct) -> tuple[str, ...]:
    """Keys as the file has them."""
    fields = zip(new.__struct_fields__, new.__struct_encode_fields__, strict=True)
    return tuple(key for field, key in fields if not _same(getattr(old, field), getattr(new, field)))


def _same(old: Any, new: Any) -> bool:
    """Equal, and of one type all the way down: to an engine `1` and `true` are not the same."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(old[k], new[k]) for k in old)
    if isinstance(old, msgspec.Struct) and type(old) is type(new):
        return all(_same(getattr(old, k), getattr(new, k)) for k in old.__struct_fields__)
    return type(old) is type(new) and old == new
