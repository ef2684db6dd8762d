"""Files that cannot be read, or only in parts: one clear line, and every good frame kept."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtface.errors import MediaError
from rtface.io import open_source


def _one_line(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text and len(text) < 400
    return text


def _refused(path: Path | str) -> str:
    with pytest.raises(MediaError) as caught:
        open_source(path)
    return _one_line(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    text = _refused(tmp_path / "missing.mp4")
    assert str(tmp_path / "missing.mp4") in text and "no such file" in text and "spelling" in text


@pytest.mark.parametrize("name", ["", "a\0b.mp4"])
def test_impossible_names(name: str) -> None:
    assert "expected the name of a video" in _refused(name)


def test_a_name_below_a_file_and_a_name_that_is_too_long(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert "no such file" in _refused(tmp_path / "file" / "v.mp4")
    assert "v" * 300 in _refused("v" * 300 + ".mp4")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").touch()
    assert "got an empty file (0 bytes), expected a video" in _refused(tmp_path / "v.mp4")
    (tmp_path / "p.png").touch()
    assert "got an empty file" in _refused(tmp_path / "p.png")


@pytest.mark.parametrize("name", ["notes.txt", "notes.mp4", "notes.mkv", "notes", "notes.nfo", "notes.gif"])
def test_text_is_not_a_video(tmp_path: Path, name: str) -> None:
    """FFmpeg would draw .txt and .nfo files as terminal pictures."""
    (tmp_path / name).write_text("These are notes, not a video.\n" * 40)
    text = _refused(tmp_path / name)
    assert "got text, expected a video file" in text or "got a file that is not a readable video" in text


def test_random_bytes_and_a_playlist_are_not_videos(tmp_path: Path, media) -> None:
    (tmp_path / "v.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    assert "not a readable video" in _refused(tmp_path / "v.mp4")
    media.make_video(tmp_path / "good.mp4", 2)
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile good.mp4\n")
    assert "list of files" in _refused(tmp_path / "list.ffconcat")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ngood.mp4\n#EXT-X-ENDLIST\n")
    assert "got a playlist, expected a video file" in _refused(tmp_path / "list.m3u8")


@pytest.mark.parametrize(("name", "codec", "cover"), [("a.m4a", "aac", False), ("a.mp4", "aac", False),
                                                      ("a.mkv", "aac", False), ("cover.mp3", "libmp3lame", True)])
def test_audio_only(tmp_path: Path, media, name: str, codec: str, cover: bool) -> None:
    path = media.make_audio(tmp_path / name, codec, cover)
    assert "without a video stream (only audio), expected a video" in _refused(path)


def test_a_codec_that_ffmpeg_cannot_decode(tmp_path: Path, media) -> None:
    path = media.make_video(tmp_path / "v.mp4", 3)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    text = _refused(path)
    assert "codec" in text and "ffmpeg -i v.mp4" in text


def test_a_video_without_frames(tmp_path: Path, media) -> None:
    """A header alone, and packets that all hold garbage."""
    path = media.make_video(tmp_path / "v.mkv", 5, codec="mpeg4", options={"g": "1"})
    data = path.read_bytes()
    cluster = data.index(bytes.fromhex("1f43b675"))
    header_only = tmp_path / "header.mkv"
    header_only.write_bytes(data[:cluster])
    assert "not a readable video (end of file)" in _refused(header_only)
    assert "without a video stream (nothing)" in _refused(media.make_video(tmp_path / "none.mov", 0))
    path = media.make_video(tmp_path / "v.mp4", 5)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    text = _refused(path)
    assert "without a frame that can be decoded" in text and "5 packet(s) could not be decoded" in text


def test_a_folder_that_may_not_be_read_and_a_folder_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    assert "got a folder without pictures, expected bmp, jpeg" in _refused(tmp_path / "empty")


# Damage in the middle -------------------------------------------------------------------------------------------------


def _long(media, path: Path, **options) -> Path:
    noise = np.random.default_rng(1).integers(-30, 30, (40, 48, 64, 3))

    def picture(i: int) -> np.ndarray:
        return np.clip(media.number_picture(i).astype(int) + noise[i % 40], 0, 255).astype(np.uint8)
    return media.make_video(path, 100, picture=picture, options={"g": "10", "bf": "0", "b": "4M"}, **options)


def _overwrite(path: Path, start: float, end: float) -> None:
    data = bytearray(path.read_bytes())
    a, b = int(len(data) * start), int(len(data) * end)
    data[a:b] = np.random.default_rng(0).bytes(b - a)
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts", "v.avi"])
def test_garbage_in_the_middle_keeps_what_lies_before_and_behind(tmp_path: Path, media, name: str) -> None:
    codec = {"codec": "mpeg4"} if name == "v.avi" else {}
    path = _long(media, tmp_path / name, container_options={"movflags": "faststart"} if name == "v.mp4" else None,
                 **codec)
    _overwrite(path, 0.5, 0.55)
    source = open_source(path)
    frames = list(source)
    assert 80 <= len(frames) <= 100
    assert [f.index for f in frames] == list(range(len(frames)))
    assert all(b.pts_s > a.pts_s for a, b in zip(frames, frames[1:], strict=False))
    assert [media.read_number(f.pixels) for f in frames[:40]] == list(range(40))
    assert [media.read_number(f.pixels) for f in frames[-20:]] == list(range(80, 100))
    if name != "v.avi":  # whose times count the chunks that are left
        np.testing.assert_allclose([f.pts_s for f in frames[-20:]], np.arange(80, 100) / 25, atol=1e-3)
    assert source.problems and all("\n" not in line for line in source.problems)


def test_lost_packets_are_counted(tmp_path: Path, media) -> None:
    path = _long(media, tmp_path / "v.mp4", container_options={"movflags": "faststart"})
    _overwrite(path, 0.5, 0.6)
    source = open_source(path)
    frames = list(source)
    assert source.lost_packets > 0 and len(frames) + source.lost_packets == 100
    assert any(line.startswith(f"{source.lost_packets} of 100 packet(s) could not be decoded (first near ")
               for line in source.problems)
    assert [f.index for f in source] == [f.index for f in frames]  # a second reading counts anew
    assert source.lost_packets == 100 - len(frames)


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.webm", "v.gif"])
def test_a_truncated_file_keeps_its_beginning(tmp_path: Path, media, name: str) -> None:
    options = {"v.mp4": {"container_options": {"movflags": "faststart"}}, "v.webm": {"codec": "libvpx-vp9"},
               "v.gif": {"codec": "gif", "pix_fmt": "rgb8"}}.get(name, {})
    if name == "v.gif":
        path = media.make_video(tmp_path / name, 100, **options)
    else:
        path = _long(media, tmp_path / name, **options)
    data = path.read_bytes()
    path.write_bytes(data[:int(len(data) * 0.6)])
    source = open_source(path)
    frames = list(source)
    assert 45 <= len(frames) <= 70
    assert [media.read_number(f.pixels) for f in frames[:40]] == list(range(40))
    if name != "v.gif":  # a gif does not say how long it is
        assert any("ends early" in line for line in source.problems), source.problems


def test_a_whole_file_read_in_part_does_not_end_early(tmp_path: Path, media) -> None:
    for name in ("v.mp4", "v.mkv"):
        source = open_source(_long(media, tmp_path / name), start_s=1.0, end_s=2.0, every=5)
        assert len(list(source)) == 5 and source.problems == []


def test_a_last_picture_that_is_shown_for_long_is_not_an_early_end(tmp_path: Path, media) -> None:
    for name in ("v.mp4", "v.mkv"):
        path = media.make_video(tmp_path / name, 3, pts=[0, 40, 80], time_base=Fraction(1, 1000), last_duration=5000)
        source = open_source(path)
        assert len(list(source)) == 3 and source.info.duration_s == pytest.approx(5.08, abs=0.05)
        assert source.problems == []


def test_a_recording_without_its_index_says_why(tmp_path: Path, media) -> None:
    path = _long(media, tmp_path / "v.mp4")
    data = path.read_bytes()
    path.write_bytes(data[:int(len(data) * 0.6)])
    assert "cut off may lack the index" in _refused(path)


# Pictures -------------------------------------------------------------------------------------------------------------


def _save(path: Path, image: np.ndarray) -> None:
    assert cv2.imwrite(str(path), image)


def test_a_folder_is_read_in_natural_order_with_all_formats_and_sizes(tmp_path: Path, media) -> None:
    for number, name in enumerate(["f1.png", "f2.jpg", "f3.bmp", "f10.tif", "f11.webp", "F12.JPEG"]):
        _save(tmp_path / name, media.number_picture(number, 64 + 2 * number, 48))
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_bytes(b"x")
    source = open_source(tmp_path, fps=10)
    frames = list(source)
    assert [media.read_number(f.pixels) for f in frames] == list(range(6))
    assert [f.width for f in frames] == [64, 66, 68, 70, 72, 74]
    assert [f.pts_s for f in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    info = source.info
    assert (info.kind, info.name, info.fps, info.frame_count) == ("images", tmp_path.name, 10, 6)
    assert [f.index for f in open_source(tmp_path, start_s=0.04, end_s=0.2, every=2)] == [1, 3]
    assert open_source(tmp_path, start_s=0.04, end_s=0.2, every=2).expected_frames == 2


def test_patterns_name_pictures(tmp_path: Path, media) -> None:
    for number in range(3):
        _save(tmp_path / f"a{number:04d}.png", media.number_picture(number))
    _save(tmp_path / "b0.png", media.number_picture(9))
    for pattern in ("a*.png", "a%04d.png", "a[0-9]*.png"):
        assert [media.read_number(f.pixels) for f in open_source(tmp_path / pattern)] == [0, 1, 2]
    assert "pattern that matches no file" in _refused(tmp_path / "c*.png")
    (tmp_path / "a.mp4").write_bytes(b"x")
    assert "matches a.mp4, expected pictures only" in _refused(tmp_path / "a*")


def test_an_unreadable_picture_is_named_and_accounted_for(tmp_path: Path, media) -> None:
    for number in range(4):
        _save(tmp_path / f"{number}.png", media.number_picture(number + 1))
    (tmp_path / "2.png").write_bytes(b"not a picture")
    source = open_source(tmp_path)
    frames = list(source)
    assert [f.index for f in frames] == [0, 1, 2, 3]
    assert frames[2].pixels.shape == (48, 64, 3) and not frames[2].pixels.any()
    assert len(source.problems) == 1 and "2.png" in source.problems[0] and "frame 2 is black" in source.problems[0]
    for path in tmp_path.glob("*.png"):
        path.write_bytes(b"x")
    assert "none of the 4 pictures can be read" in _refused(tmp_path)


def test_one_picture_is_one_frame(tmp_path: Path, media) -> None:
    _save(tmp_path / "one.png", media.number_picture(7))
    source = open_source(tmp_path / "one.png")
    frames = list(source)
    assert [(f.index, f.pts_s, media.read_number(f.pixels)) for f in frames] == [(0, 0.0, 7)]
    assert source.info.kind == "image"
    (tmp_path / "bad.png").write_bytes(b"x")
    assert "bad.png: cannot be decoded" in _refused(tmp_path / "bad.png")


def test_gray_deep_and_transparent_pictures_become_rgb8(tmp_path: Path) -> None:
    color = np.zeros((20, 30, 4), np.uint8)
    color[..., :] = (10, 20, 200, 255)  # BGRA
    color[:, 15:, 3] = 0
    _save(tmp_path / "0.png", color)
    _save(tmp_path / "1.png", np.full((20, 30), 90, np.uint8))
    _save(tmp_path / "2.png", np.full((20, 30, 3), (257 * 10, 257 * 20, 257 * 200), np.uint16))
    _save(tmp_path / "3.tif", np.full((20, 30, 3), (0.0, 0.5, 1.0), np.float32))
    frames = [f.pixels for f in open_source(tmp_path)]
    assert {(f.shape, f.dtype.name) for f in frames} == {((20, 30, 3), "uint8")}
    assert frames[0][5, 5].tolist() == [200, 20, 10] and frames[0][5, 25].tolist() == [255, 255, 255]
    assert frames[1][5, 5].tolist() == [90, 90, 90]
    assert frames[2][5, 5].tolist() == [200, 20, 10]
    assert frames[3][5, 5].tolist() == [255, 128, 0]


def test_the_orientation_of_a_jpeg_is_applied(tmp_path: Path) -> None:
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:, :32] = 255  # the left half is white
    ok, data = cv2.imencode(".jpg", picture)
    assert ok
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6: turn clockwise
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "p.jpg").write_bytes(data[:2].tobytes() + segment + data[2:].tobytes())
    pixels = next(iter(open_source(tmp_path / "p.jpg"))).pixels
    assert pixels.shape == (64, 32, 3)
    assert pixels[5, 16].min() > 200 and pixels[60, 16].max() < 50


def test_the_fingerprint_of_a_folder_changes_with_any_picture(tmp_path: Path, media) -> None:
    for number in range(3):
        _save(tmp_path / f"{number}.png", media.number_picture(number))
    before = open_source(tmp_path).info.fingerprint
    assert open_source(tmp_path).info.fingerprint == before
    stat = os.stat(tmp_path / "2.png")
    os.utime(tmp_path / "2.png", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))
    assert open_source(tmp_path).info.fingerprint != before
