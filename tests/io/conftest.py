"""Media and results that the tests of ``rtface.io`` make themselves."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from rtface.geometry import pose_vertices
from rtface.io import GlbModel
from rtface.morphable import MorphableModel
from rtface.types import Coefficients, FaceMesh, FaceStatus, FaceTracks, Frame, FrameResult

WIDTH, HEIGHT = 64, 48


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_node: needs node and the npm package gltf-validator, whose node_modules "
                            "folder RTFACE_GLTF_VALIDATOR names; fails without them when RTFACE_REQUIRE_NODE=1")


@pytest.fixture
def gltf_validator() -> str:
    """Path of the npm package gltf-validator, for tests marked ``needs_node``."""
    folder = os.environ.get("RTFACE_GLTF_VALIDATOR")
    if folder and shutil.which("node") and (Path(folder) / "gltf-validator").is_dir():
        return str(Path(folder) / "gltf-validator")
    if os.environ.get("RTFACE_REQUIRE_NODE") == "1":
        pytest.fail("RTFACE_REQUIRE_NODE=1, but there is no node or RTFACE_GLTF_VALIDATOR does not name a node_modules "
                    "folder with gltf-validator")
    pytest.skip("needs node and the npm package gltf-validator (set RTFACE_GLTF_VALIDATOR)")


def number_picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A picture that shows a number below 256 as eight large black or white fields; survives lossy codecs."""
    bits = np.array([[(number >> (4 * row + column)) & 1 for column in range(4)] for row in range(2)], np.uint8)
    rows = np.arange(height) * 2 // height
    columns = np.arange(width) * 4 // width
    return np.repeat((bits[rows[:, None], columns[None]] * 180 + 40)[:, :, None], 3, axis=2)


def read_number(pixels: np.ndarray) -> int:
    """The number that a (possibly lossy) :func:`number_picture` shows."""
    height, width = pixels.shape[:2]
    number = 0
    for row in range(2):
        for column in range(4):
            y, x = (2 * row + 1) * height // 4, (2 * column + 1) * width // 8
            number |= int(pixels[y - 2:y + 3, x - 2:x + 3].mean() > 130) << (4 * row + column)
    return number


def make_video(path: Path, count: int = 20, *, codec: str = "libx264", pix_fmt: str = "yuv420p", fps: int = 25,
               pts: Sequence[int] | None = None, time_base: Fraction | None = None, size: tuple[int, int] | None = None,
               options: dict[str, str] | None = None, container_options: dict[str, str] | None = None,
               format: str | None = None, picture: Callable[[int], np.ndarray] | None = None,
               input_format: str = "rgb24", last_duration: int = 0,
               prepare: Callable[[Any], None] | None = None) -> Path:
    """Encode numbered pictures. pts: time stamps in ``time_base`` (default: 0, 1, … in 1/fps), as last_duration is."""
    width, height = size or (WIDTH, HEIGHT)
    base = time_base or Fraction(1, fps)
    with av.open(str(path), "w", format=format, options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = base
        stream.options = options or {}
        if prepare is not None:
            prepare(stream)
        container.start_encoding()
        for i in range(count):
            pixels = picture(i) if picture is not None else number_picture(i, width, height)
            frame = av.VideoFrame.from_ndarray(pixels, format=input_format)
            frame.pts, frame.time_base = (i if pts is None else pts[i]), base
            container.mux(stream.encode(frame))
        for packet in stream.encode(None):
            if last_duration and packet.pts == (pts or range(count))[-1]:
                packet.duration = last_duration
            container.mux(packet)
    return path


def make_audio(path: Path, codec: str = "aac", cover: bool = False) -> Path:
    """A second of silence, with or without a cover picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=44100)
        picture = container.add_stream("mjpeg") if cover else None
        if picture is not None:
            picture.width, picture.height, picture.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
            frame = av.VideoFrame.from_ndarray(number_picture(1), format="rgb24").reformat(format="yuvj420p")
            container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
        sample_type = {"fltp": np.float32, "s32p": np.int32, "s16p": np.int16}[stream.format.name]
        samples = np.zeros((2, stream.codec_context.frame_size or 1024), sample_type)
        for i in range(20):
            frame = av.AudioFrame.from_ndarray(samples, format=stream.format.name, layout="stereo")
            frame.sample_rate, frame.pts = 44100, i * samples.shape[1]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def make_result(index: int = 0, faces: Sequence[int] = (0,), *, pts_s: float | None = None,
                mesh: FaceMesh | None = None, status: Sequence[FaceStatus] | None = None, seed: int | None = None,
                basis: str = "test") -> FrameResult:
    """A result with random but plausible numbers, the same for the same index (or seed)."""
    rng = np.random.default_rng(index if seed is None else seed)
    n = len(faces)
    vector = rng.normal(0, 0.4, (n, 239)).astype(np.float32)
    vector[:, -3] = 2.0 + 0.1 * vector[:, -3]
    vector[:, -2:] = (32, 24) + 5 * vector[:, -2:]
    tracks = FaceTracks(np.array(faces, np.int32), rng.uniform(0, 60, (n, 4)).astype(np.float32),
                        rng.uniform(0.5, 1, n).astype(np.float32), rng.uniform(0, 48, (n, 68, 2)).astype(np.float32),
                        np.full(n, index, np.int32))
    frame = Frame(np.zeros((HEIGHT, WIDTH, 3), np.uint8), index, index / 25 if pts_s is None else pts_s)
    return FrameResult(frame, tracks, None, Coefficients.from_vector(vector, basis), mesh,
                       rng.uniform(0, 1, (n, 6)).astype(np.float32), rng.uniform(0.5, 1, n).astype(np.float32),
                       tuple(status) if status is not None else (FaceStatus.TRACKED,) * n, {"detect": 1.25})


def bowl(side: int) -> tuple[np.ndarray, np.ndarray]:
    """A bulge towards the camera: (V, 3) float32 mm, (F, 3) int32 counter-clockwise seen from the camera."""
    v, u = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side), indexing="ij")
    vertices = np.stack([70 * u, 90 * v, 40 * (u * u + v * v)], -1).reshape(-1, 3).astype(np.float32)
    i = np.arange(side * side).reshape(side, side)
    a, b, c, d = i[:-1, :-1], i[:-1, 1:], i[1:, :-1], i[1:, 1:]
    triangles = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    return vertices, triangles.astype(np.int32)


def make_mesh(faces: int = 1, side: int = 8, seed: int = 0) -> FaceMesh:
    """``faces`` slightly different bulges with unit normals and random colours."""
    rng = np.random.default_rng(seed)
    vertices, triangles = bowl(side)
    many = (vertices[None] + rng.normal(0, 0.3, (faces, 1, 1))).astype(np.float32)
    normals = np.broadcast_to(np.stack([0.01 * vertices[:, 0], 0.01 * vertices[:, 1], -np.ones(len(vertices))], -1),
                              many.shape)
    normals = (normals / np.linalg.norm(normals, axis=2, keepdims=True)).astype(np.float32)
    return FaceMesh(many, normals, rng.uniform(0, 1, many.shape).astype(np.float32), triangles,
                    rng.uniform(0, 1, many.shape[:2]).astype(np.float32))


def make_model(side: int = 9, *, albedo: bool = True) -> GlbModel:
    """A small morphable model on the bulge; action 5 moves nothing, action 0 everything, the others a spot."""
    rng = np.random.default_rng(3)
    mean, triangles = bowl(side)
    count = len(mean)
    spots = mean[rng.integers(0, count, 64)]
    near = np.exp(-((mean[:, None] - spots[None]) ** 2).sum(-1) / 900)
    near[near < 0.05] = 0
    near[:, 5], near[:, 0] = 0, 1
    expression = (near[:, None, :] * rng.normal(0, 4, (1, 3, 64))).astype(np.float32)
    return GlbModel(mean, rng.normal(0, 0.4, (count, 3, 80)).astype(np.float32), expression,
                    rng.uniform(0.2, 0.6, (count, 3)).astype(np.float32),
                    rng.normal(0, 0.01, (count, 3, 80)).astype(np.float32) if albedo else None, triangles,
                    tuple(f"action{i}" for i in range(64)))


@pytest.fixture(scope="session")
def media() -> SimpleNamespace:
    """The makers above, for test modules."""
    return SimpleNamespace(WIDTH=WIDTH, HEIGHT=HEIGHT, number_picture=number_picture, read_number=read_number,
                           make_video=make_video, make_audio=make_audio, make_result=make_result, make_mesh=make_mesh,
                           make_model=make_model)


@pytest.fixture(scope="session")
def model() -> MorphableModel:
    """The shipped model, coarse."""
    return MorphableModel.load(level=0)


@pytest.fixture(scope="session")
def person(model: MorphableModel) -> Callable[..., FrameResult]:
    """A function that makes a result with faces of the shipped model: curves by name, angles in degrees."""
    def make(index: int = 0, faces: Sequence[int] = (0,), *, pitch: float = 0, yaw: float = 0, roll: float = 0,
             status: FaceStatus = FaceStatus.TRACKED, captured_ns: int = 0, **curves: float) -> FrameResult:
        vector = np.zeros((len(faces), 239), np.float32)
        for name, value in curves.items():
            vector[:, 80 + model.expression_names.index(name)] = value
        vector[:, -6:-3] = np.deg2rad([pitch, yaw, roll])
        vector[:, -3:] = 1.5, 330, 230
        c = Coefficients.from_vector(vector, model.basis_id)
        placed = pose_vertices(model.landmarks(model.vertices(c.identity, c.expression)), c.rotation, c.scale,
                               c.translation)
        tracks = FaceTracks(np.array(faces, np.int32), np.zeros((len(faces), 4), np.float32),
                            np.full(len(faces), 0.9, np.float32), placed[..., :2].astype(np.float32),
                            np.zeros(len(faces), np.int32))
        frame = Frame(np.zeros((480, 640, 3), np.uint8), index, index / 25, captured_ns)
        return FrameResult(frame, tracks, None, c, None, np.tile(np.float32([1, 0.5, 1, 0.25, 1, 1]), (len(faces), 1)),
                           np.full(len(faces), 0.8, np.float32), (status,) * len(faces))
    return make


@pytest.fixture
def udp() -> Iterator[socket.socket]:
    """A receiver on a free port of this machine that waits for fifteen seconds at most."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(15)
        yield receiver


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """A function that fills a disk and returns a folder on it; its ``folder`` can be used before.

    The disk is a small tmpfs where mounting is permitted. Elsewhere the process may write no more bytes to any file
    (RLIMIT_FSIZE), and ``message`` is what is said of that.
    """
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    mounted = "RTFACE_TEST_WITHOUT_MOUNT" not in os.environ and shutil.which("mount") is not None and \
        subprocess.run(mount, capture_output=True, check=False).returncode == 0

    def fill() -> Path:
        if mounted:
            with open(folder / "filler", "wb", buffering=0) as file:
                with pytest.raises(OSError, match="No space left"):
                    for _ in range(1000):
                        file.write(bytes(4096))
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        return folder

    fill.folder = folder  # type: ignore[attr-defined]
    fill.message = "the disk is full" if mounted else "the file would be larger"  # type: ignore[attr-defined]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield fill
    if mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
