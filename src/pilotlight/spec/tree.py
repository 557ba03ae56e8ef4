"""YAML as a tree in which everything knows its line.

Built from the parser's events and not by PyYAML's constructor, because a config file needs what that one
drops or gets wrong: the line of every key, a key given twice, and YAML 1.1's habit of reading `no` as a
boolean and `1:30` as 90. Nothing here recurses and expanded aliases are counted, so no file can hang or
overflow it.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec
import yaml

from pilotlight.errors import ConfigError, Problem

MAX_DEPTH = 32
MAX_NODES = 100_000
"""Nodes with every alias expanded; a file of a thousand models has some 20,000."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_UNCLEAR = re.compile(
    r"[-+]?(0[0-9_]+|0[box][0-9a-fA-F_]+|[0-9][0-9_]*_[0-9_.]*|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)"
    r"|[-+]?\.inf|\.nan",
    re.IGNORECASE,
)
_FLOAT = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_NOT_YAML = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Kind = Literal["null", "bool", "int", "float", "text", "unclear"]
_WORDS: dict[str, Kind] = {
    "": "null",
    "~": "null",
    "null": "null",
    "true": "bool",
    "false": "bool",
    "yes": "unclear",
    "no": "unclear",
    "on": "unclear",
    "off": "unclear",
}


class Scalar(msgspec.Struct):
    """One value as it is written."""

    line: int
    text: str
    plain: bool
    """Without quotes, so that its look decides its type."""
    size: int = 1

    @property
    def kind(self) -> Kind:
        """What YAML 1.1 and 1.2 both take it for; `unclear` where they differ."""
        if not self.plain:
            return "text"
        word = _WORDS.get(self.text.lower())
        if word is not None and self.text in (self.text.lower(), self.text.upper(), self.text.capitalize()):
            return word
        if _INT.fullmatch(self.text):
            return "int"
        if _UNCLEAR.fullmatch(self.text):
            return "unclear"
        return "float" if _FLOAT.fullmatch(self.text) else "text"


class Items(msgspec.Struct):
    """A list."""

    line: int
    values: "list[Node]"
    size: int = 1


class Entry(NamedTuple):
    line: int
    """Of the key."""
    value: "Node"
    path: tuple[str, ...] = ()
    """Where it is written, when that is not where it counts: ("defaults", "ttl")."""


class Table(msgspec.Struct):
    """A mapping; keys are text as written, merged keys included."""

    line: int
    entries: dict[str, Entry]
    size: int = 1


Node = Scalar | Items | Table


class _Refused(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class _Open(msgspec.Struct):
    """A list or mapping that is being read."""

    node: Items | Table
    anchor: str | None
    key: Scalar | None = None
    merged: list[Node] = msgspec.field(default_factory=list[Node])


def read_tree(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """The one document of `text`, None when it is empty, and what is wrong but did not stop the reading.

    Raises ConfigError where nothing sensible can be read on from.
    """
    builder = _Builder(file)
    try:
        _refuse_controls(text)
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except _Refused as e:
        builder.note(e.line, "", str(e))
    except yaml.MarkedYAMLError as e:
        builder.note(*_syntax(e, text))
    except (yaml.YAMLError, ValueError) as e:
        builder.note(0, "", f"is not YAML: {e}")
    else:
        return builder.root, builder.problems
    raise ConfigError(builder.problems)


def _refuse_controls(text: str) -> None:
    if found := _NOT_YAML.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise _Refused(line, f"the character U+{ord(found[0]):04X} is not allowed in YAML")


def _syntax(e: yaml.MarkedYAMLError, text: str) -> tuple[int, str, str]:
    lines = text.splitlines() or [""]
    mark = e.problem_mark or e.context_mark
    line = min(mark.line + 1 if mark else 1, len(lines))
    what = f"is not YAML: {e.problem or 'it cannot be read'}" + (f", {e.context}" if e.context else "")
    if "${" in lines[line - 1]:
        what += '; inside {...} and [...] put "${...}" in quotes'
    elif "alias" in what:
        what += '; put text that begins with * in quotes: "*/5 8 * * 1-5"'
    elif "cannot start any token" in what and re.search("[@%`]", lines[line - 1]):
        what += "; put text that begins with @, % or ` in quotes"
    elif "\t" in lines[line - 1]:
        what += "; indent with spaces, not tabs"
    return line, "", what


class _Builder:
    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.root: Node | None = None
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._documents = 0

    def note(self, line: int, key: str, message: str) -> None:
        self.problems.append(Problem(self.file, line, key, message))

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 0
        match event:
            case yaml.ScalarEvent():
                # A plain scalar's first flag is set; a tag is no way round its look, so it is refused.
                self._refuse_tag(event.tag, line)
                self._close(Scalar(line, event.value, bool(event.implicit[0])), event.anchor)
            case yaml.AliasEvent():
                self._add(self._anchored(event.anchor or "", line))
            case yaml.SequenceStartEvent():
                self._open(Items(line, []), event)
            case yaml.MappingStartEvent():
                self._open(Table(line, {}), event)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._end()
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise _Refused(line, "a second document starts here; a config file is one document")
            case _:
                pass

    def _open(self, node: Items | Table, event: yaml.CollectionStartEvent) -> None:
        self._refuse_tag(event.tag, node.line)
        if len(self._stack) >= MAX_DEPTH:
            raise _Refused(node.line, f"is nested more than {MAX_DEPTH} deep")
        if self._wants_key():
            raise _Refused(node.line, "a key must be plain text, not a list or a mapping")
        self._stack.append(_Open(node, event.anchor))

    def _end(self) -> None:
        done = self._stack.pop()
        if isinstance(done.node, Table):
            for source in done.merged:
                self._merge(done.node, source)
        self._close(done.node, done.anchor)

    def _close(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        self._add(node)

    def _add(self, node: Node) -> None:
        if not self._stack:
            self.root = node
            return
        top = self._stack[-1]
        if isinstance(top.node, Items):
            top.node.values.append(node)
        elif top.key is None:
            if not isinstance(node, Scalar):
                raise _Refused(node.line, "a key must be plain text, not a list or a mapping")
            top.key = node
            return
        else:
            self._put(top, top.node, top.key, node)
            top.key = None
        top.node.size += node.size
        if top.node.size > MAX_NODES:
            raise _Refused(node.line, f"holds more than {MAX_NODES} values once its aliases are expanded")

    def _put(self, top: _Open, table: Table, key: Scalar, value: Node) -> None:
        if key.text == "<<" and key.plain:
            top.merged += value.values if isinstance(value, Items) else [value]
        elif (first := table.entries.get(key.text)) is not None:
            self.note(key.line, self._path(key.text), f"is given twice; the first is on line {first.line}")
        else:
            table.entries[key.text] = Entry(key.line, value)

    def _merge(self, table: Table, source: Node) -> None:
        """`<<` fills in what the mapping does not say itself; of several, the first counts."""
        if not isinstance(source, Table):
            raise _Refused(source.line, "`<<` takes an alias of a mapping, or a list of such")
        for key, entry in source.entries.items():
            table.entries.setdefault(key, entry)

    def _wants_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].node, Table) and self._stack[-1].key is None

    def _path(self, last: str) -> str:
        return dotted((*self._keys(), last))

    def _keys(self) -> "Iterator[str | int]":
        for frame in self._stack[:-1]:
            if isinstance(frame.node, Items):
                yield len(frame.node.values)
            elif frame.key is not None:
                yield frame.key.text

    def _anchored(self, name: str, line: int) -> Node:
        if any(frame.anchor == name for frame in self._stack):
            raise _Refused(line, f"`*{name}` stands inside what `&{name}` names")
        if name not in self._anchors:
            raise _Refused(line, f"`*{name}` has no `&{name}` before it")
        return self._anchors[name]

    def _refuse_tag(self, tag: str | None, line: int) -> None:
        if tag is not None:
            self.note(line, "", f"the tag {tag!r} is not supported; leave it out")


def dotted(path: tuple[str | int, ...]) -> str:
    """`models.chat.aliases[0]`. A key of what cannot be printed, or of very much, is shown as text that can."""
    out = ""
    for part in path:
        if isinstance(part, str) and not (part.isprintable() and len(part) <= 100):
            part = repr(part[:100])  # noqa: PLW2901
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out
