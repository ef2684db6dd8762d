"""Packing arrays into one binary glTF 2.0 file (.glb) with json, struct and NumPy only."""

from __future__ import annotations

import json
import struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_COMPONENT: Final = {"uint8": 5121, "uint16": 5123, "uint32": 5125, "float32": 5126}
_KIND: Final = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
VERTICES: Final = 34962
INDICES: Final = 34963


class GlbBuilder:
    """Collects the JSON part (:attr:`root`) and the binary part of a file."""

    def __init__(self, generator: str) -> None:
        self.root: dict[str, Any] = {"asset": {"version": "2.0", "generator": generator}}
        self._chunks: list[bytes] = []
        self._length = 0

    def add(self, collection: str, item: dict[str, Any]) -> int:
        """Append to a top-level list such as ``nodes``; returns the index."""
        items: list[dict[str, Any]] = self.root.setdefault(collection, [])
        items.append(item)
        return len(items) - 1

    def view(self, data: bytes, target: int | None = None) -> int:
        """Append bytes, aligned to 4, as a buffer view; returns its index."""
        item: dict[str, Any] = {"buffer": 0, "byteOffset": self._length, "byteLength": len(data)}
        if target is not None:
            item["target"] = target
        padded = data + b"\0" * (-len(data) % 4)
        self._chunks.append(padded)
        self._length += len(padded)
        return self.add("bufferViews", item)

    def accessor(self, array: Array, *, target: int | None = None, bounds: bool = False,
                 normalized: bool = False) -> int:
        """Store (n,) or (n, 1–4) uint8/16/32 or float32; bounds: also state the minimum and maximum."""
        data = np.ascontiguousarray(array)
        rows = data.reshape(len(data), -1)
        item: dict[str, Any] = {"bufferView": self.view(data.tobytes(), target), "count": len(rows),
                                "componentType": _COMPONENT[str(data.dtype)], "type": _KIND[rows.shape[1]]}
        if normalized:
            item["normalized"] = True
        if bounds:
            item["min"], item["max"] = rows.min(axis=0).tolist(), rows.max(axis=0).tolist()
        return self.add("accessors", item)

    def deltas(self, arrays: list[Array], threshold: float) -> list[int]:
        """Store (V, 3) float32 displacements as accessors; rows up to ``threshold`` long count as zero.

        Accessors are sparse where that is smaller; all sparse ones share two buffer views. Returns their indices.
        """
        rows_of = [np.flatnonzero(np.linalg.norm(a, axis=1) > threshold) for a in arrays]
        count = len(arrays[0])
        index_type = np.uint16 if count <= 0xFFFF else np.uint32
        sparse = [len(rows) * (np.dtype(index_type).itemsize + 12) < count * 12 for rows in rows_of]
        index_bytes, value_bytes = bytearray(), bytearray()
        offsets: list[tuple[int, int]] = []
        for array, rows, is_sparse in zip(arrays, rows_of, sparse, strict=True):
            offsets.append((len(index_bytes), len(value_bytes)))
            if is_sparse and len(rows):
                index_bytes += rows.astype(index_type).tobytes()
                index_bytes += b"\0" * (-len(index_bytes) % 4)
                value_bytes += np.ascontiguousarray(array[rows], np.float32).tobytes()
        index_view = self.view(bytes(index_bytes)) if index_bytes else None
        value_view = self.view(bytes(value_bytes)) if value_bytes else None
        out = []
        for array, rows, is_sparse, (index_at, value_at) in zip(arrays, rows_of, sparse, offsets, strict=True):
            if not is_sparse:
                out.append(self.accessor(array.astype(np.float32), target=VERTICES, bounds=True))
                continue
            item: dict[str, Any] = {"count": count, "componentType": _COMPONENT["float32"], "type": "VEC3"}
            values = np.zeros((1, 3), np.float32)
            if len(rows):
                values = array[rows].astype(np.float32)
                if len(rows) < count:  # the other rows are zero and count for the bounds
                    values = np.concatenate([values, np.zeros((1, 3), np.float32)])
                item["sparse"] = {
                    "count": len(rows),
                    "indices": {"bufferView": index_view, "byteOffset": index_at,
                                "componentType": _COMPONENT[np.dtype(index_type).name]},
                    "values": {"bufferView": value_view, "byteOffset": value_at}}
            item["min"], item["max"] = values.min(axis=0).tolist(), values.max(axis=0).tolist()
            out.append(self.add("accessors", item))
        return out

    def parts(self) -> list[bytes]:
        """The file, in parts to be written one after the other."""
        if self._length:
            self.root["buffers"] = [{"byteLength": self._length}]
        text = json.dumps(self.root, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        binary = [struct.pack("<I4s", self._length, b"BIN\0"), *self._chunks] if self._length else []
        total = 12 + 8 + len(text) + (8 + self._length if self._length else 0)
        return [struct.pack("<4sII", b"glTF", 2, total), struct.pack("<I4s", len(text), b"JSON"), text, *binary]
