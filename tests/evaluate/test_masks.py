"""Pictures with class masks: the two kinds of labels, what is scored of them, and what is wrong with some."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from rtface.errors import InputError, MediaError
from rtface.evaluate import segmentation as seg
from rtface.evaluate import transfer
from rtface.evaluate.dataset import Pack
from rtface.evaluate.masks import CLASSES, MaskedFace, faces, read_map
from rtface.nets.segment import SegmentNet, SegmentNetConfig
from tests.evaluate.packs import HEIGHT, WIDTH, PackWriter


def png(array: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", array)
    assert done
    return bytes(data)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    writer = PackWriter(tmp_path)
    writer.add_set("handdrawn", "drawn", task="occlusion_masks", files=2, labelled=False)
    writer.add_set("celebamask_hq", "celeb", task="parsing", files=1, labelled=False)
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    mask, region = np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
    region[20:100, 40:120] = 255
    mask[70:120, 30:130] = 255
    mask[20:30, 40:120] = 128
    classes = np.zeros((HEIGHT, WIDTH), np.uint8)
    classes[20:100, 40:120] = 1
    classes[40:50, 50:110] = 3
    classes[60:80, 70:90] = 2
    classes[100:, :] = 17
    for name, content in (("drawn/masks/a.png", mask), ("drawn/regions/a.png", region), ("celeb/masks/c.png", classes),
                          ("drawn/masks/b.png", mask[:50]), ("drawn/regions/b.png", region)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(content))
    for name, where in (("a", "drawn"), ("b", "drawn"), ("c", "celeb")):
        writer.add_item("handdrawn" if where == "drawn" else "celebamask_hq", f"{where}/images/{name}.png",
                        png(picture), mask=f"{where}/masks/{name}.png")
    writer.add_item("handdrawn", "drawn/images/d.png", png(picture))
    writer.write()
    return tmp_path


def only(pack: Path, name: str) -> MaskedFace:
    _, drawn = faces(Pack(pack), name)
    (face,) = drawn
    return face


def test_hand_drawn_masks_are_scored_within_the_face_only(pack):
    face = only(pack, "handdrawn")
    assert face.valid.sum() == 70 * 80  # the face without its unsure rows
    assert (face.truth == 1).sum() == 50 * 80 and (face.truth == 2).sum() == 30 * 80
    assert face.box_xyxy.tolist() == [40, 20, 120, 100]


def test_parsing_classes_become_face_or_not_and_spectacles_are_left_out(pack):
    face = only(pack, "celebamask_hq")
    assert (face.truth == 1).sum() == 80 * 80 - 10 * 60 and not (face.truth == 2).any()
    assert (~face.valid).sum() == 10 * 60 and not face.truth[110:].any()


def test_what_cannot_be_used_is_named(pack):
    found, drawn = faces(Pack(pack), "handdrawn")
    assert len(list(drawn)) == 1
    assert sorted(found.problems) == ["drawn/images/b.png", "drawn/images/d.png"]
    assert "got a mask (50, 160) for a picture (120, 160)" in found.problems["drawn/images/b.png"].what
    assert "no mask in index.json" in found.problems["drawn/images/d.png"].what
    with pytest.raises(InputError, match="expected one of handdrawn, celebamask_hq"):
        faces(Pack(pack), "elsewhere")
    (pack / "color.png").write_bytes(png(np.zeros((4, 4, 3), np.uint8)))
    for bad in ("color.png", "missing.png"):
        with pytest.raises(MediaError, match="expected a picture of classes"):
            read_map(pack / bad)


def test_perfect_and_empty_predictions(pack):
    for name in ("handdrawn", "celebamask_hq"):
        face = only(pack, name)
        counts, islands = transfer.scored(name, face.truth.copy(), face)
        assert seg.iou(counts, 1) == 1.0 and seg.accuracy(counts) == 1.0 and islands == 0
        counts, _ = transfer.scored(name, np.zeros_like(face.truth), face)
        assert seg.iou(counts, 1) == 0.0


def test_a_network_is_pasted_back_where_its_crop_was(pack):
    face = only(pack, "celebamask_hq")
    torch.manual_seed(0)
    net = SegmentNet(SegmentNetConfig()).eval()
    with torch.no_grad():
        net.head[0].weight.zero_()
        net.head[0].bias.copy_(torch.tensor([0.0] * 4 + [9.0] * 4 + [0.0] * 4))  # all face
    place = np.array([[1.6, 0, -64], [0, 1.6, -32]], np.float32)  # picture x 40..120, y 20..100 → 0..128
    predicted = transfer.segment(net, face, place)
    inside = np.zeros_like(predicted)
    inside[20:100, 40:120] = 1
    assert (predicted != inside).mean() < 0.01


def test_the_networks_output_has_the_crops_size():
    out = SegmentNet(SegmentNetConfig())(torch.rand(2, 3, 64, 96))
    assert out.shape == (2, CLASSES, 64, 96) and out.dtype == torch.float32
