"""What is said of a value that is not what its key wants: what is wrong, and what is allowed."""

import math
import re
from collections.abc import Iterable

from msgspec import inspect as mi

from pilotlight.spec.tree import Items, Node, Scalar, Table
from pilotlight.spec.wants import LARGEST, LONGEST, Want, unwrap
from pilotlight.units import format_fraction, format_size

_FOUND = {"null": "no value", "bool": "true or false", "int": "a number", "float": "a number", "text": "text"}
_QUANTITIES = {
    "duration": "a duration like 250ms, 30s, 5m, 1h30m",
    "size": "a size like 512MiB or 16GiB",
    "percent": "a part like 5% or 0.05",
    "rate": "a rate like 0.5/s, 2/m, 30/h",
}
_EXPECTED: dict[type[mi.Type], str] = {
    mi.BoolType: "true or false",
    mi.IntType: "a whole number",
    mi.FloatType: "a number",
    mi.StrType: "text",
    mi.LiteralType: "text",
    mi.VarTupleType: "a list",
    mi.TupleType: "a list",
    mi.StructType: "a mapping",
    mi.DictType: "a mapping",
}


def unknown(key: str, allowed: Iterable[str]) -> str:
    return "is not a key here" + instead(key, allowed)


def instead(word: str, allowed: Iterable[str]) -> str:
    """`; did you mean ...? Allowed: ...`"""
    import difflib  # noqa: PLC0415 - only a faulty file pays for it

    allowed = sorted(allowed)
    close = difflib.get_close_matches(word[:100], allowed, 1)
    hint = f"; did you mean `{close[0]}`?" if close else "."
    return f"{hint} Allowed: {', '.join(allowed) or 'nothing'}"


def variable(name: str) -> str:
    """`the environment variable NAME`; without the name where it looks like the key itself."""
    looks_like_a_key = len(name) >= 20 and not name.isupper() and any(c.isdigit() for c in name)
    return (
        "the environment variable that is named here"
        if looks_like_a_key
        else f"the environment variable {name}"
    )


def text_fault(want: Want, text: str) -> str | None:
    """Why `text` is not what a text key wants."""
    type_ = want.type
    if isinstance(type_, mi.LiteralType):
        return None if text in type_.values else "is not known" + instead(text, map(str, type_.values))
    if not isinstance(type_, mi.StrType):
        return None
    if type_.min_length and len(text) < type_.min_length:
        return "is empty"
    if type_.pattern and not re.fullmatch(type_.pattern, text):
        return f"is not allowed; write {want.extra.get('form', type_.pattern)}"
    return None


def range_fault(want: Want, value: float, text: str) -> str | None:
    """Why a number is out of range."""
    type_, text = want.type, short(text)
    if not isinstance(type_, mi.IntType | mi.FloatType):
        return None
    shown = {"size": format_size, "percent": format_fraction}.get(want.kind or "", str)
    if type_.ge is not None and value < type_.ge:
        aside = "; a number without a unit is bytes" if want.kind == "size" and text.isdigit() else ""
        return f"{text} is too small: at least {shown(type_.ge)}{aside}"
    if type_.gt is not None and value <= type_.gt:
        return f"{text} is too small: more than {shown(type_.gt)}"
    if type_.le is not None and value > type_.le:
        aside = f"; write {text}% for a percentage" if want.kind == "percent" and "%" not in text else ""
        return f"{text} is too large: at most {shown(type_.le)}{aside}"
    if want.kind == "duration" and value > LONGEST:
        return f"{text} is too long: at most 100 years (36500d)"
    if not math.isfinite(value) or (isinstance(type_, mi.IntType) and abs(value) > LARGEST):
        return f"{text} is too large"
    return None


def wrong(want: Want, node: Node) -> str:
    return f"expected {expected(want)}, found {_found(node)}{_advice(want, node)}"


def expected(want: Want) -> str:
    """What a key wants, in words."""
    if want.kind in _QUANTITIES:
        return _QUANTITIES[want.kind]
    if isinstance(want.type, mi.UnionType):
        words = dict.fromkeys(expected(unwrap(t)) for t in want.type.types)
        if _EXPECTED[mi.FloatType] in words:
            words.pop(_EXPECTED[mi.IntType], None)
        return " or ".join(words)
    if isinstance(want.type, mi.StructType) and len(want.type.fields) <= 8:
        return f"a mapping with the keys {', '.join(f.encode_name for f in want.type.fields)}"
    if isinstance(want.type, mi.StrType) and "form" in want.extra and not want.type.min_length:
        return f"text ({want.extra['form']})"
    if isinstance(want.type, mi.TupleType):
        return f"a list of {len(want.type.item_types)}"
    return _EXPECTED.get(type(want.type), "something else")


def _found(node: Node) -> str:
    if isinstance(node, Table):
        return "a mapping"
    if isinstance(node, Items):
        return "a list"
    if node.kind == "null":
        return "no value"
    if node.kind == "unclear":
        return f"`{short(node.text)}`, which YAML readers take for different things"
    quotes = "" if node.plain else '"'
    return f"{_FOUND[node.kind]} ({quotes}{short(node.text)}{quotes})"


def _advice(want: Want, node: Node) -> str:
    """How to write it, where the value is right and only its look is wrong."""
    if not isinstance(node, Scalar):
        return ""
    if node.kind == "null":
        inside = isinstance(want.type, mi.StructType | mi.DictType)
        return "; write its keys below it, indented" if inside else "; leave the key out for its default"
    wants = [unwrap(t) for t in want.type.types] if isinstance(want.type, mi.UnionType) else [want]
    types = [want.type for want in wants]
    if not node.plain:
        bare = Scalar(node.line, node.text, True)
        fits = {"bool": mi.BoolType, "int": mi.IntType | mi.FloatType, "float": mi.FloatType}.get(bare.kind)
        return "; leave out the quotes" if fits and any(isinstance(t, fits) for t in types) else ""
    advice: list[str] = []
    if node.kind == "unclear":
        word = node.text.isalpha()
        if word and any(isinstance(t, mi.BoolType) for t in types):
            advice.append("write true or false")
        if not word and any(isinstance(t, mi.IntType | mi.FloatType) for t in types):
            advice.append("write a plain decimal number")
    if any(isinstance(w.type, mi.StrType) and text_fault(w, node.text) is None for w in wants):
        advice.append(f'put it in quotes: "{short(node.text)}"')
    return "; " + ", or ".join(advice) if advice else ""


def short(text: str) -> str:
    """As a message repeats it."""
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."
