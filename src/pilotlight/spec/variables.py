"""`${NAME}` in a config file."""

import re
from collections.abc import Mapping

LATER = frozenset({"PORT", "PID"})
"""Filled by the worker when it starts a replica, in the values that are meant for one."""

_TOKEN = re.compile(r"\$\$|\$\{([^{}]*)\}|\$\{")
_REFERENCE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def fill(text: str, env: Mapping[str, str], later: frozenset[str] = frozenset()) -> tuple[str, list[str]]:
    """`text` with its variables filled in, and what is wrong with them.

    `${NAME}` must be set, `${NAME:-default}` may be unset or empty, `$$` is a dollar sign; any other dollar
    sign stays as it is. Names in `later` are left alone. What a variable holds is not looked through again.
    """
    problems: list[str] = []

    def one(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        reference = _REFERENCE.fullmatch(match[1] or "")
        if reference is None:
            problems.append(
                f"{match[0]!r} is no variable; write ${{NAME}} or ${{NAME:-default}}, or $$ for a dollar sign"
            )
            return ""
        name, default = reference.groups()
        if name in later:
            return f"${{{name}}}"
        value = env.get(name)
        if default is not None:
            return value or default
        if value is None:
            problems.append(
                f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
            )
            return ""
        return value

    filled = _TOKEN.sub(one, text) if "$" in text else text
    return filled, problems
