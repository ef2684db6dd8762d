"""Live Link Face: packets read by hand after the documented layout, angles as Unreal's rotators mean them."""

from __future__ import annotations

import math
import struct
import time
import uuid

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.geometry import rotation_matrices
from rtface.io.avatar import AvatarFaces
from rtface.io.livelink import LiveLinkSink, head_angles, seconds_of_day
from rtface.io.stream_sink import Address
from rtface.types import FaceStatus, Frame

UNREAL = """EyeBlinkLeft EyeLookDownLeft EyeLookInLeft EyeLookOutLeft EyeLookUpLeft EyeSquintLeft EyeWideLeft
EyeBlinkRight EyeLookDownRight EyeLookInRight EyeLookOutRight EyeLookUpRight EyeSquintRight EyeWideRight JawForward
JawLeft JawRight JawOpen MouthClose MouthFunnel MouthPucker MouthLeft MouthRight MouthSmileLeft MouthSmileRight
MouthFrownLeft MouthFrownRight MouthDimpleLeft MouthDimpleRight MouthStretchLeft MouthStretchRight MouthRollLower
MouthRollUpper MouthShrugLower MouthShrugUpper MouthPressLeft MouthPressRight MouthLowerDownLeft MouthLowerDownRight
MouthUpperUpLeft MouthUpperUpRight BrowDownLeft BrowDownRight BrowInnerUp BrowOuterUpLeft BrowOuterUpRight CheekPuff
CheekSquintLeft CheekSquintRight NoseSneerLeft NoseSneerRight TongueOut HeadYaw HeadPitch HeadRoll LeftEyeYaw
LeftEyePitch LeftEyeRoll RightEyeYaw RightEyePitch RightEyeRoll""".split()
"""Unreal's EARFaceBlendShape in its order."""


def parse(packet: bytes) -> dict:
    """Every byte, by the layout; nothing may be left over."""
    assert packet[0] == 6
    at, texts = 1, []
    for _ in range(2):
        size = int.from_bytes(packet[at:at + 4], "big", signed=True)
        texts.append(packet[at + 4:at + 4 + size].decode())
        at += 4 + size
    number, fraction, numerator, denominator = struct.unpack(">ifii", packet[at:at + 16])
    assert packet[at + 16] == len(UNREAL) == 61
    values = struct.unpack(">61f", packet[at + 17:])
    return {"device": texts[0], "subject": texts[1], "frame": number, "fraction": fraction,
            "rate": (numerator, denominator), **dict(zip(UNREAL, values, strict=True))}


@pytest.fixture
def send(model, udp):
    def run(result, count=1, mirror=False, **options):
        with LiveLinkSink(Address(*udp.getsockname()), AvatarFaces(model, mirror=mirror), **options) as sink:
            sink.write(result)
            packets = [udp.recv(65535) for _ in range(count)]
            udp.setblocking(False)
            with pytest.raises(BlockingIOError):
                udp.recv(1)
            udp.settimeout(15)
            assert sink.report().endswith(f": {count} packets sent")
        return packets
    return run


def test_a_packet_byte_by_byte(send, person):
    packet, = send(person(jawOpen=0.5))
    assert len(packet) == 1 + 4 + 36 + 4 + 6 + 16 + 1 + 244
    assert packet[:5] == b"\x06\0\0\0\x24"  # version, 36 characters
    assert packet[41:51] == b"\0\0\0\x06rtface"
    assert packet[59:67] == b"\0\0\0\x3c\0\0\0\x01"  # 60 / 1 frames per second
    assert packet[67] == 61
    jaw = 68 + 4 * UNREAL.index("JawOpen")
    assert packet[jaw:jaw + 4] == b"\x3f\0\0\0"
    assert not any(struct.unpack(">60f", packet[68:jaw] + packet[jaw + 4:]))


def test_every_curve_has_its_own_value(send, person, model):
    values = {name: (k + 1) / 64 for k, name in enumerate(model.expression_names[:52])}
    got = parse(send(person(**values))[0])
    for name, value in values.items():
        assert got[name[0].upper() + name[1:]] == value


def test_device_and_subject(send, person):
    one, = send(person())
    two, = send(person())
    assert parse(one)["device"] == parse(two)["device"] == str(uuid.UUID(parse(one)["device"])).upper()
    assert parse(send(person(), subject="Zoë")[0])["subject"] == "Zoë"


def test_every_face_has_a_subject(send, person):
    got = [parse(packet) for packet in send(person(0, (4, 8, 9)), count=3)]
    assert [g["subject"] for g in got] == ["rtface", "rtface2", "rtface3"]
    assert len({g["device"] for g in got}) == 3


def test_faces_that_are_not_there_send_nothing_and_held_ones_do(send, person):
    send(person(0, ()), count=0)
    send(person(status=FaceStatus.ABSENT), count=0)
    assert parse(send(person(status=FaceStatus.HELD, jawOpen=1))[0])["JawOpen"] == 1


def test_time_code_is_the_time_of_day_of_the_capture(send, person):
    now = time.time()
    got = parse(send(person(captured_ns=time.monotonic_ns() - 2_000_000_000), fps=30)[0])
    local = time.localtime(now - 2)
    expected = (local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec + now % 1) * 30
    assert got["rate"] == (30, 1) and 0 <= got["fraction"] < 1
    assert got["frame"] + got["fraction"] == pytest.approx(expected, abs=15)
    unknown = seconds_of_day(Frame(np.zeros((1, 1, 3), np.uint8), 0, 0.0))
    assert unknown - seconds_of_day(Frame(np.zeros((1, 1, 3), np.uint8), 0, 0.0)) == pytest.approx(0, abs=1)


def test_head_angles_are_radians_with_unreal_s_signs(send, person):
    left, down, tilt = (parse(send(person(**{name: value}))[0]) for name, value in (
        ("yaw", -20), ("pitch", 15), ("roll", 10)))
    assert (left["HeadYaw"], left["HeadPitch"], left["HeadRoll"]) == pytest.approx((-math.radians(20), 0, 0), abs=1e-6)
    assert (down["HeadYaw"], down["HeadPitch"], down["HeadRoll"]) == pytest.approx((0, math.radians(15), 0), abs=1e-6)
    assert (tilt["HeadYaw"], tilt["HeadPitch"], tilt["HeadRoll"]) == pytest.approx((0, 0, math.radians(10)), abs=1e-6)


def unreal(yaw, pitch, roll):
    """Rows: where Unreal's forward, right and up of an FRotator go; Unreal's FRotationMatrix, written from its docs.

    Pitch turns forward to up, yaw forward to right, roll up to right; roll first, then pitch, then yaw.
    """
    cp, sp, cy, sy, cr, sr = (f(a) for a in (pitch, yaw, roll) for f in (math.cos, math.sin))
    return np.array([[cp * cy, cp * sy, sp],
                     [sr * sp * cy - cr * sy, sr * sp * sy + cr * cy, -sr * cp],
                     [-(cr * sp * cy + sr * sy), cy * sr - cr * sp * sy, cr * cp]])


@pytest.mark.parametrize("angles", [(10, 20, 30), (-25, 40, -15), (30, -60, 5)])
def test_combined_angles_make_the_same_rotation_in_unreal(angles):
    """Unreal's axes from ARKit's: forward −z, right x, up y; ARKit's from rtface's: x, −y, −z. So back, left, up."""
    matrix = rotation_matrices(np.deg2rad([angles]))[0]
    axes = np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]])  # rows: Unreal's x, y, z in rtface's axes
    expected = (axes @ matrix @ axes.T).T  # rows are images of Unreal's axes
    np.testing.assert_allclose(unreal(*head_angles(matrix)), expected, atol=1e-9)


def test_eyes(send, person):
    got = parse(send(person(eyeLookOutLeft=1, eyeLookDownRight=1, yaw=30))[0])
    assert got["LeftEyeYaw"] == pytest.approx(-math.radians(30)) and got["LeftEyePitch"] == 0
    assert got["RightEyePitch"] == pytest.approx(math.radians(25)) and got["RightEyeYaw"] == 0
    assert got["LeftEyeRoll"] == got["RightEyeRoll"] == 0


def test_mirror(send, person):
    got = parse(send(person(yaw=-20, roll=5, pitch=3, eyeBlinkLeft=1, eyeLookOutLeft=1), mirror=True)[0])
    assert got["EyeBlinkRight"] == 1 and got["EyeBlinkLeft"] == 0
    assert got["HeadYaw"] > 0.3 and got["HeadRoll"] < -0.05 and got["RightEyeYaw"] == pytest.approx(math.radians(30))


@pytest.mark.parametrize("options", [{"fps": 0}, {"subject": ""}])
def test_bad_options(model, options):
    with pytest.raises(InputError, match="livelink: got"):
        LiveLinkSink(Address("127.0.0.1", 11111), AvatarFaces(model), **options)
