"""VMC protocol: received by python-osc's own server, and read byte by byte after OSC 1.0."""

from __future__ import annotations

import builtins
import struct
import threading

import numpy as np
import pytest
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import BlockingOSCUDPServer

from rtface.errors import OutputError
from rtface.io.avatar import AvatarFaces
from rtface.io.stream_sink import Address
from rtface.io.vmc import VmcSink, preset_values
from rtface.types import FaceStatus


def osc(packet: bytes) -> list[tuple[str, list]]:
    """Messages of a bundle, after https://opensoundcontrol.stanford.edu/spec-1_0.html; strict about padding."""
    def text(at):
        end = packet.index(b"\0", at)
        after = (end + 4) & ~3
        assert not any(packet[end:after])
        return packet[at:end].decode("ascii"), after

    assert packet[:8] == b"#bundle\0" and len(packet) % 4 == 0
    assert packet[8:16] == bytes(7) + b"\1"  # at once
    at, messages = 16, []
    while at < len(packet):
        size, = struct.unpack_from(">i", packet, at)
        end = at + 4 + size
        assert size % 4 == 0 and end <= len(packet)
        address, here = text(at + 4)
        tags, here = text(here)
        arguments = []
        assert tags[0] == ","
        for tag in tags[1:]:
            if tag == "s":
                value, here = text(here)
            else:
                value, = struct.unpack_from({"i": ">i", "f": ">f"}[tag], packet, here)
                here += 4
            arguments.append(value)
        assert here == end
        messages.append((address, arguments))
        at = end
    return messages


@pytest.fixture
def send(model, udp):
    """Send results by one sink; gives the messages of each bundle that arrives."""
    def run(*results, presets=False, mirror=False):
        with VmcSink(Address(*udp.getsockname()), AvatarFaces(model, mirror=mirror), presets=presets) as sink:
            packets = []
            for result in results:
                sink.write(result)
                packets.append(osc(udp.recv(65535)))
        return packets
    return run


def bones(messages):
    return {a[0]: np.array(a[1:]) for address, a in messages if address == "/VMC/Ext/Bone/Pos"}


def blends(messages):
    return dict(a for address, a in messages if address == "/VMC/Ext/Blend/Val")


def test_a_bundle_by_the_specification(send, person):
    (messages,) = send(person(5, jawOpen=0.5, eyeBlinkRight=0.25))
    assert messages[0] == ("/VMC/Ext/OK", [1, 3, 0, 1])
    assert messages[1][0] == "/VMC/Ext/T" and messages[1][1] == pytest.approx([0.2])
    assert [m[0] for m in messages[2:]] == ["/VMC/Ext/Bone/Pos"] * 3 + ["/VMC/Ext/Blend/Val"] * 52 + \
        ["/VMC/Ext/Blend/Apply"]
    assert messages[-1] == ("/VMC/Ext/Blend/Apply", [])
    values = blends(messages)
    assert values["JawOpen"] == 0.5 and values["EyeBlinkRight"] == 0.25 and sum(values.values()) == 0.75
    assert list(bones(messages)) == ["Head", "LeftEye", "RightEye"]
    for numbers in bones(messages).values():
        np.testing.assert_allclose(numbers, [0, 0, 0, 0, 0, 0, 1], atol=1e-7)


def test_a_bundle_fits_one_datagram(model, person, udp):
    with VmcSink(Address(*udp.getsockname()), AvatarFaces(model)) as sink:
        sink.write(person())
        assert len(udp.recv(65535)) == 2808


def test_received_by_another_implementation(model, person):
    """python-osc's server dispatches what the sink sent; several frames with other numbers."""
    heard: list[tuple] = []
    dispatcher = Dispatcher()
    dispatcher.set_default_handler(lambda address, *arguments: heard.append((address, *arguments)))
    with BlockingOSCUDPServer(("127.0.0.1", 0), dispatcher) as server:
        server.timeout = 15
        with VmcSink(Address(*server.server_address), AvatarFaces(model)) as sink:
            for k in range(3):
                thread = threading.Thread(target=server.handle_request)
                thread.start()
                sink.write(person(k, jawOpen=0.25 * k, yaw=10 * k))
                thread.join(15)
            assert sink.report().endswith(": 3 packets sent")
    opened = [m[2] for m in heard if m[:2] == ("/VMC/Ext/Blend/Val", "JawOpen")]
    assert opened == [0, 0.25, 0.5]
    assert sum(m[0] == "/VMC/Ext/Blend/Apply" for m in heard) == 3
    head = [m for m in heard if m[:2] == ("/VMC/Ext/Bone/Pos", "Head")]
    assert head[2][2:] == pytest.approx((0, 0, 0, 0, np.sin(np.deg2rad(10)), 0, np.cos(np.deg2rad(10))))


def unity(quaternion):
    """Columns: where Unity's right, up and forward go; Unity's own formula."""
    x, y, z, w = quaternion
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                     [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                     [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])


def test_an_avatar_turns_as_the_person_does(send, person):
    """Unity: x is the avatar's right, y up, z where it looks."""
    left, down, tilt = send(person(yaw=-20), person(pitch=20), person(roll=20))
    forward = unity(bones(left)["Head"][3:])[:, 2]
    assert forward[0] < -0.3 and abs(forward[1]) < 1e-6  # to its left
    assert unity(bones(down)["Head"][3:])[1, 2] < -0.3  # looks down
    assert unity(bones(tilt)["Head"][3:])[0, 1] < -0.3  # the top of the head goes to its left


def test_a_mirrored_avatar_turns_the_other_way(send, person):
    (messages,) = send(person(yaw=-20, pitch=10, mouthSmileLeft=0.5, eyeLookOutLeft=0.5), mirror=True)
    forward = unity(bones(messages)["Head"][3:])[:, 2]
    assert forward[0] > 0.3 and forward[1] < -0.1
    assert blends(messages)["MouthSmileRight"] == 0.5 and blends(messages)["MouthSmileLeft"] == 0
    assert unity(bones(messages)["RightEye"][3:])[0, 2] > 0.1


def test_eyes_look_where_the_person_looks(send, person):
    (messages,) = send(person(eyeLookOutLeft=1, eyeLookUpRight=1))
    left, right = (unity(bones(messages)[name][3:])[:, 2] for name in ("LeftEye", "RightEye"))
    assert left[0] < -0.4 and abs(left[1]) < 1e-6
    assert right[1] > 0.3 and abs(right[0]) < 1e-6


def test_only_the_first_person_is_sent_and_nobody_is_said(send, person):
    first, both, second, none, next_one = send(
        person(0, (3,)), person(1, (3, 4)), person(2, (4,)), person(3, ()), person(4, (9,), status=FaceStatus.HELD))
    assert len(first) == len(both) == len(next_one) == 58
    for messages in (second, none):  # the second person keeps the second place
        assert [m[0] for m in messages] == ["/VMC/Ext/OK", "/VMC/Ext/T"] and messages[0][1] == [1, 3, 0, 0]
    assert next_one[0][1] == [1, 3, 0, 1]


def test_presets_instead_of_curves(send, person):
    (messages,) = send(person(eyeBlinkLeft=0.5, jawOpen=0.8, mouthFunnel=0.25, mouthSmileLeft=1), presets=True)
    assert blends(messages) == pytest.approx({"Blink_L": 0.5, "Blink_R": 0, "A": 0.6, "O": 0.2, "U": 0.05})


@pytest.mark.parametrize(("curves", "expected"), [
    ({}, [0, 0, 0, 0, 0]), ({"jawOpen": 1}, [0, 0, 1, 0, 0]), ({"jawOpen": 1, "mouthPucker": 1}, [0, 0, 0, 1, 0]),
    ({"mouthPucker": 1}, [0, 0, 0, 0, 1]), ({"jawOpen": 0.5, "mouthClose": 0.6}, [0, 0, 0, 0, 0]),
    ({"mouthSmileLeft": 1, "mouthSmileRight": 1}, [0, 0, 0, 0, 0])])
def test_presets_follow_the_shape_of_the_mouth(model, curves, expected):
    index = {name: k for k, name in enumerate(model.expression_names[:52])}
    values = np.zeros(52)
    for name, value in curves.items():
        values[index[name]] = value
    assert preset_values(values, index) == pytest.approx(expected)


def test_without_python_osc_the_package_is_named(model, monkeypatch):
    real = builtins.__import__

    def missing(name, *arguments, **options):
        if name.startswith("pythonosc"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(OutputError, match=r"python-osc.*pip install 'rtface\[stream\]'"):
        VmcSink(Address("127.0.0.1", 39539), AvatarFaces(model))
