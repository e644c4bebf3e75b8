"""The line and column of each value of a TOML text. Used only to report an error: it parses the text again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

Path = tuple[str | int, ...]
"""Keys and list positions from the document's root, as in `("grid", 0, "lr", "bp")`."""


class Places:
    """Line and column, both from 1, of each key and value of a TOML text that parses."""

    def __init__(self, text: str) -> None:
        import tree_sitter_toml
        from tree_sitter import Language, Parser

        self._text = text.encode()
        self._keys: dict[Path, int] = {}  # offsets in bytes: a line and column costs more, and few are asked for
        self._values: dict[Path, int] = {}
        self._arrays: dict[Path, int] = {}
        root = Parser(Language(tree_sitter_toml.language())).parse(self._text).root_node
        self._pairs(root, ())
        for node in root.children:
            if node.type in ("table", "table_array_element"):
                self._pairs(node, self._header(node))

    def of_key(self, path: Path) -> tuple[int, int]:
        """Where the key stands, else the nearest table around it."""
        return self._find(path, (self._keys, self._values))

    def of_value(self, path: Path) -> tuple[int, int]:
        """Where the value stands, else the nearest table around it."""
        return self._find(path, (self._values, self._keys))

    def _find(self, path: Path, tables: tuple[dict[Path, int], ...]) -> tuple[int, int]:
        for length in range(len(path), 0, -1):
            for table in tables:
                if path[:length] in table:
                    return self._position(table[path[:length]])
        return (1, 1)

    def _position(self, offset: int) -> tuple[int, int]:
        line_start = self._text.rfind(b"\n", 0, offset) + 1
        return self._text.count(b"\n", 0, offset) + 1, len(self._text[line_start:offset].decode()) + 1

    def _header(self, node: Node) -> Path:
        """The path of a table, with the current position of every array of tables that it is in."""
        key = next(child for child in node.children if "key" in child.type)
        path: Path = ()
        *outer, last = _names(key)
        for name in outer:
            path = (*path, name)
            path = (*path, self._arrays[path]) if path in self._arrays else path
        path = (*path, last)
        if node.type == "table_array_element":
            self._arrays[path] = self._arrays.get(path, -1) + 1
            path = (*path, self._arrays[path])
        self._keys[path] = self._values[path] = key.start_byte
        return path

    def _pairs(self, table: Node, prefix: Path) -> None:
        for pair in (child for child in table.children if child.type == "pair"):
            key, value = (child for child in pair.children if child.type not in ("=", "comment"))
            path = (*prefix, *_names(key))
            self._keys[path] = key.start_byte
            self._value(value, path)

    def _value(self, node: Node, path: Path) -> None:
        self._values[path] = node.start_byte
        if node.type == "inline_table":
            self._pairs(node, path)
        elif node.type == "array":
            items = [child for child in node.children if child.type not in ("[", "]", ",", "comment")]
            for position, item in enumerate(items):
                self._value(item, (*path, position))


def _names(key: Node) -> Path:
    if key.type == "dotted_key":
        return tuple(name for child in key.children if child.type != "." for name in _names(child))
    text = (key.text or b"").decode()
    return (text[1:-1] if key.type == "quoted_key" else text,)
