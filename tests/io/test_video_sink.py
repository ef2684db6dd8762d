"""Videos written by rtface, read back with its own reader."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest

from rtface.errors import InputError, OutputError
from rtface.io import VideoSink, VideoSource, open_source
from rtface.io.atomic import temporaries_in
from rtface.io.video_sink import _choose_codec

TIMES_S = [0.0, 1001 / 30000, 2 * 1001 / 30000, 0.5, 0.52, 2.0]


@pytest.mark.parametrize(("name", "codec"), [("v.mp4", None), ("v.mov", "libx264"), ("v.mkv", None), ("v.webm", None),
                                             ("v.mp4", "mpeg4")])
def test_pictures_keep_their_own_times(tmp_path: Path, media, name: str, codec: str | None) -> None:
    sink = VideoSink(tmp_path / name, fps=30, codec=codec)
    for i, t in enumerate(TIMES_S):
        sink.write(media.number_picture(i), t)
    assert not (tmp_path / name).exists()
    assert sink.finish() == [tmp_path / name] == sink.finish()
    assert os.listdir(tmp_path) == [name]
    frames = list(open_source(tmp_path / name))
    assert [media.read_number(f.pixels) for f in frames] == list(range(6))
    atol = 6e-4 if name in ("v.mkv", "v.webm") else 2e-5  # Matroska counts milliseconds
    np.testing.assert_allclose([f.pts_s for f in frames], TIMES_S, atol=atol)


def test_common_frame_rates_are_exact_in_mp4(tmp_path: Path, media) -> None:
    sink = VideoSink(tmp_path / "v.mp4", fps=24000 / 1001)
    for i in range(10):
        sink.write(media.number_picture(i), i * 1001 / 24000)
    sink.finish()
    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        times = [frame.pts * stream.time_base for frame in container.decode(stream)]
        assert [t * 24000 / 1001 for t in times] == list(range(10))
        assert stream.duration * stream.time_base == pytest.approx(10 * 1001 / 24000, abs=1e-4)


def test_a_section_keeps_the_sources_times_or_begins_at_zero(tmp_path: Path, media) -> None:
    for name, origin_s in (("a.mp4", 0.0), ("b.mp4", 5.0)):
        sink = VideoSink(tmp_path / name, origin_s=origin_s)
        for i in range(3):
            sink.write(media.number_picture(i), 5 + i / 25)
        sink.finish()
    with av.open(str(tmp_path / "a.mp4")) as first, av.open(str(tmp_path / "b.mp4")) as second:
        assert [f.time for f in first.decode(video=0)] == pytest.approx([5.0, 5.04, 5.08])
        assert [f.time for f in second.decode(video=0)] == pytest.approx([0.0, 0.04, 0.08])


def test_odd_sizes_are_padded_by_the_edge(tmp_path: Path) -> None:
    picture = np.full((47, 63, 3), (200, 60, 30), np.uint8)
    sink = VideoSink(tmp_path / "v.mp4", quality=95)
    sink.write(picture, 0.0)
    sink.finish()
    pixels = next(iter(open_source(tmp_path / "v.mp4"))).pixels
    assert pixels.shape == (48, 64, 3)
    np.testing.assert_allclose(pixels.astype(int), np.broadcast_to((200, 60, 30), (48, 64, 3)), atol=6)


def test_pictures_of_another_size_are_fitted(tmp_path: Path, media) -> None:
    sink = VideoSink(tmp_path / "v.mp4", quality=90)
    sink.write(media.number_picture(3, 64, 48), 0.0)
    sink.write(np.full((100, 50, 3), 200, np.uint8), 0.1)
    sink.write(media.number_picture(5, 32, 24), 0.2)
    sink.finish()
    frames = [f.pixels for f in open_source(tmp_path / "v.mp4")]
    assert {f.shape for f in frames} == {(48, 64, 3)}
    assert media.read_number(frames[0]) == 3 and media.read_number(frames[2]) == 5
    assert frames[1][24, 32].min() > 180 and frames[1][24, 4].max() < 30  # black bars at the sides


def test_colors_come_back(tmp_path: Path) -> None:
    colors = [(200, 30, 30), (30, 180, 40), (40, 40, 200), (230, 180, 150), (16, 16, 16), (250, 250, 250)]
    sink = VideoSink(tmp_path / "v.mp4", quality=95)
    for i, color in enumerate(colors):
        sink.write(np.full((48, 64, 3), color, np.uint8), i / 25)
    sink.finish()
    for frame, color in zip(open_source(tmp_path / "v.mp4"), colors, strict=True):
        np.testing.assert_allclose(frame.pixels[24, 32].astype(int), color, atol=5)


def test_quality_changes_the_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (96, 128, 3), dtype=np.uint8) for _ in range(8)]
    sizes = []
    for quality in (20, 60, 95):
        sink = VideoSink(tmp_path / f"{quality}.mp4", quality=quality)
        for i, picture in enumerate(pictures):
            sink.write(picture, i / 25)
        sizes.append(sink.finish()[0].stat().st_size)
    assert sizes[0] < sizes[1] / 1.5 < sizes[2] / 2


def test_no_picture_makes_no_file_and_abort_removes_the_temporary(tmp_path: Path, media) -> None:
    assert VideoSink(tmp_path / "v.mp4").finish() == []
    sink = VideoSink(tmp_path / "v.mp4")
    for i in range(50):
        sink.write(media.number_picture(i), i / 25)
    assert len(temporaries_in(tmp_path)) == 1
    sink.abort()
    assert os.listdir(tmp_path) == [] and sink.finish() == []
    with pytest.raises(InputError, match="after the video was finished"):
        sink.write(media.number_picture(0), 9.0)


def test_wrong_values_are_errors(tmp_path: Path, media) -> None:
    for options, message in (({"path": "v.xyz"}, r"got a video name ending in '\.xyz', expected \.mp4"),
                             ({"quality": 101}, "quality: got 101"), ({"fps": 0.0}, "fps: got 0.0")):
        with pytest.raises(InputError, match=message):
            VideoSink(**({"path": tmp_path / "v.mp4"} | options))
    with pytest.raises(OutputError, match="got no encoder nonsense in this FFmpeg, expected one for mp4"):
        VideoSink(tmp_path / "v.mp4", codec="nonsense")
    sink = VideoSink(tmp_path / "v.mp4")
    with pytest.raises(InputError, match=r"got a picture float32\(4, 4, 3\), expected uint8"):
        sink.write(np.zeros((4, 4, 3), np.float32), 0.0)  # type: ignore[arg-type]
    sink.write(media.number_picture(0), 1.0)
    for time_s in (1.0, 0.5, -1.0):
        with pytest.raises(InputError, match="expected increasing times"):
            sink.write(media.number_picture(0), time_s)
    sink.write(media.number_picture(1), 1.04)
    sink.finish()
    assert len(list(open_source(tmp_path / "v.mp4"))) == 2


def test_the_first_encoder_that_exists_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _choose_codec("mp4", None) == "libx264" and _choose_codec("webm", None) == "libvpx-vp9"
    monkeypatch.setattr("rtface.io.video_sink._DEFAULT_CODECS", ("missing", "mpeg4"))
    assert _choose_codec("mp4", None) == "mpeg4"


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.webm"])
def test_a_full_disk_is_an_error_and_leaves_nothing(full_disk, name: str) -> None:
    path = full_disk.folder / name
    sink = VideoSink(path, quality=100)
    rng = np.random.default_rng(0)
    full_disk()
    with pytest.raises(OutputError, match=f"cannot write .*: {full_disk.message}"):
        for i in range(60):
            sink.write(rng.integers(0, 255, (96, 128, 3), dtype=np.uint8), i / 25)
        sink.finish()
    assert not path.exists() and temporaries_in(path.parent) == []


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm"])
def test_a_streaming_video_can_be_read_while_it_is_written(tmp_path: Path, media, name: str) -> None:
    sink = VideoSink(tmp_path / name, fps=30, streaming=True)
    for k in range(90):
        sink.write(media.number_picture(k), k / 30)
    copy = tmp_path / f"killed{Path(name).suffix}"
    copy.write_bytes((tmp_path / name).read_bytes())  # what a kill would leave
    frames = list(VideoSource(copy))
    assert 59 <= len(frames) <= 90  # at most a second is missing
    assert [round(f.pts_s * 30) for f in frames] == list(range(len(frames)))
    assert media.read_number(frames[50].pixels) == 50
    assert sink.finish() == [tmp_path / name] and len(list(VideoSource(tmp_path / name))) == 90


def test_a_streaming_video_stays_when_it_is_given_up(tmp_path: Path, media) -> None:
    sink = VideoSink(tmp_path / "a.mp4", fps=30, streaming=True)
    for k in range(40):
        sink.write(media.number_picture(k), k / 30)
    sink.abort()
    assert len(list(VideoSource(tmp_path / "a.mp4"))) == 40
