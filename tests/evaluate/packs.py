"""Tiny evaluation packs of painted ellipses, written by the tests that read them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from tests import blobs

HEIGHT, WIDTH = 120, 160
Face = tuple[float, float, float, int]


def points_of(face: Face) -> np.ndarray:
    """(68, 2) px, rtface's convention, of an ellipse that :func:`blobs.paint` draws."""
    cx, cy, size, _ = face
    return np.asarray(blobs.POINTS * [size, size * 1.2] + [cx - size / 2, cy - size * 0.6])


class PackWriter:
    """Adds pictures and clips to a folder and writes index and labels at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sets: dict[str, dict[str, Any]] = {}
        self.items: list[dict[str, Any]] = []
        self.labels: dict[str, list[dict[str, Any]]] = {}

    def add_set(self, name: str, path: str, *, task: str = "landmarks68", files: int = 0,
                labelled: bool = True) -> None:
        self.sets[name] = {"task": task, "files": files, "sources": [{"repo": f"some/{name}", "commit": "c" * 40}],
                           "licences": [f"licence of {name}"],
                           "labels": f"{path}/annotations.json" if labelled else None}
        if labelled:
            self.labels[name] = []

    def add_item(self, name: str, path: str, data: bytes, *, rights: str = "free", **more: Any) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        self.items.append({"path": path, "set": name, "rights": rights, "bytes": len(data), "source": 0, "licence": 0,
                           "sha256": hashlib.sha256(data).hexdigest()[:16], **more})

    def add_picture(self, name: str, path: str, faces: Sequence[Face], *, label: Face | None = None,
                    to_crop: list[list[float]] | None = None, tags: Sequence[str] = (), rights: str = "free",
                    **entry: Any) -> None:
        done, data = cv2.imencode(".png", blobs.paint(faces, HEIGHT, WIDTH)[:, :, ::-1])
        assert done
        self.add_item(name, path, data.tobytes(), rights=rights, tags=list(tags))
        if label is None:
            return
        linear = np.eye(2) if to_crop is None else np.array(to_crop)[:, :2]
        stored = points_of(label) + linear @ [0.5, 0.5]
        self.labels[name].append({"file": Path(path).name, "width": WIDTH, "height": HEIGHT,
                                  "points": stored.tolist(), **({"to_crop": to_crop} if to_crop else {}), **entry})

    def write(self) -> Path:
        for name, entries in self.labels.items():
            path = self.folder / self.sets[name]["labels"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"set": name, "items": entries}))
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "index.json").write_text(json.dumps({"version": 1, "sets": self.sets, "items": self.items}))
        return self.folder


def clip_bytes(folder: Path, frames: int = 20, *, face: bool = True) -> bytes:
    """A short H.264 clip with one moving ellipse."""
    path = folder / "clip_being_written.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        stream.options = {"crf": "5", "preset": "ultrafast"}
        for k in range(frames):
            picture = blobs.paint([(60 + k, 60, 40, 0)] if face else [], HEIGHT, WIDTH)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    path.unlink()
    return data


def small_pack(folder: Path) -> Path:
    """Two labelled sets, portraits and clips, all in order."""
    pack = PackWriter(folder)
    pack.add_set("lfpw_test", "landmarks68/lfpw_test", files=10)
    pack.add_set("helen_test", "landmarks68/helen_test", files=2)
    pack.add_set("cc0_people", "portraits/cc0_people", task="portraits", files=2, labelled=False)
    pack.add_set("clips", "videos/clips", task="videos", files=2, labelled=False)
    for k in range(4):
        face = (60.0 + 10 * k, 60.0, 44.0 + 4 * k, k)
        pack.add_picture("lfpw_test", f"landmarks68/lfpw_test/{k}.png", [face], label=face, rights="non_commercial",
                         to_crop=[[0.5, 0, 0], [0, 0.5, 0]], tags=["hand"] if k == 1 else [])
    for k in range(2):
        face = (80.0, 60.0, 50.0, k)
        pack.add_picture("helen_test", f"landmarks68/helen_test/{k}.png", [face], label=face)
        pack.add_picture("cc0_people", f"portraits/cc0_people/{k}.png", [face, (25, 40, 30, 2)])
    pack.add_item("clips", "videos/clips/free.mp4", clip_bytes(folder_for(folder)))
    pack.add_item("clips", "videos/clips/secret.mp4", clip_bytes(folder_for(folder), 12), rights="unclear")
    return pack.write()


def folder_for(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
