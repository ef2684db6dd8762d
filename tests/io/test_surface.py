"""What ``rtface.io`` offers, and what it may import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import rtface.io

ALLOWED = {"rtface.errors", "rtface.types", "rtface.geometry", "rtface.io", "rtface.stream", "numpy", "av", "cv2",
           "pythonosc", "websockets", "pyvirtualcam"}


def test_all_names_are_sorted_and_there() -> None:
    assert rtface.io.__all__ == sorted(rtface.io.__all__)
    assert all(hasattr(rtface.io, name) for name in rtface.io.__all__)


def test_sinks_and_sources_fit_their_protocols(tmp_path: Path, media) -> None:
    sinks: list[rtface.io.Sink] = [
        rtface.io.NullSink(), rtface.io.MeshSequenceSink(tmp_path / "m", "obj"),
        rtface.io.GlbSink(tmp_path / "a.glb", media.make_model()),
        rtface.io.CsvSink(tmp_path / "a.csv", expression_names=[str(i) for i in range(64)]),
        rtface.io.NpzSink(tmp_path / "a.npz", expression_names=[str(i) for i in range(64)], basis="test")]
    assert [s.needs_mesh for s in sinks] == [False, True, False, False, False]
    for sink in sinks:
        sink.write(media.make_result(0, mesh=media.make_mesh(1)))
        assert all(path.exists() for path in sink.finish())
        sink.abort()
    assert sinks[0].frames == sinks[0].faces == 1  # type: ignore[attr-defined]
    sources: list[rtface.io.Source] = [rtface.io.ArraySource([media.number_picture(0)]),
                                       rtface.io.SyntheticSource(media.number_picture, 1),
                                       rtface.io.open_source(media.make_video(tmp_path / "v.mp4", 1))]
    for source in sources:
        with source:
            assert len(list(source)) == 1 == source.info.frame_count
            assert source.problems == []


def test_modules_import_only_what_the_house_allows_and_stay_short() -> None:
    for path in Path(rtface.io.__file__).parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, path.name
        for node in ast.walk(ast.parse(text)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else \
                [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                outside = name.split(".")[0] not in sys.stdlib_module_names | {"__future__"}
                assert not outside or any(name == a or name.startswith(f"{a}.") for a in ALLOWED), (path.name, name)


def test_importing_rtface_does_not_load_media_libraries() -> None:
    program = "import sys, rtface, rtface.types; sys.exit(any(m in sys.modules for m in ('av', 'cv2', 'rtface.io')))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
