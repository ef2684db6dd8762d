"""Pictures with class masks: what labels tell, what is scored of them, and what is wrong with some."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rtface.errors import InputError, MediaError
from rtface.evaluate import transfer
from rtface.evaluate.dataset import Pack
from rtface.evaluate.masks import CLASSES, MaskedFace, Rule, automatic_boxes, from_parsing, mask_set, read_map
from rtface.evaluate.placing import Placed
from rtface.nets.segment import SegmentNet, SegmentNetConfig
from tests.evaluate.class_packs import BAR, class_pack, encoded, hidden_face


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return class_pack(tmp_path)


def only(pack: Path, name: str) -> MaskedFace:
    (face,) = mask_set(Pack(pack), name).faces()
    return face


def test_hand_drawn_masks_are_scored_within_the_face_only(pack: Path) -> None:
    label = only(pack, "handdrawn").label
    _, face, hidden = hidden_face()
    unsure = np.zeros_like(face)
    unsure[24:30] = True
    assert (label.valid == (face & ~unsure)).all() and label.rule is Rule.SEEN_OR_HIDDEN
    assert ((label.truth == 2) == (face & hidden)).all() and ((label.truth == 1) == (face & ~hidden)).all()
    assert label.box_xyxy.tolist() == [50, 24, 110, 96]
    assert list(label.kinds) == ["bar"] and (label.kinds["bar"] == (face & hidden)).all()


def test_parsing_classes_become_face_or_not_and_spectacles_are_left_out() -> None:
    classes = np.zeros((100, 100), np.uint8)
    classes[20:80, 20:80] = 1
    classes[30:40, 30:70] = 3
    classes[20:25, 20:80] = 13  # hair above the face: not before it
    classes[50:55, 20:40] = 13  # hair before the face
    classes[90:] = 17
    label = from_parsing(classes)
    assert (label.truth == 1).sum() == 55 * 60 - 10 * 40 - 5 * 20 and not (label.truth == 2).any()
    assert (~label.valid).sum() == 10 * 40 and label.rule is Rule.FACE_OR_NOT
    assert label.box_xyxy is not None and label.box_xyxy.tolist() == [20, 25, 80, 80]
    assert {kind: int(area.sum()) for kind, area in label.kinds.items()} == {
        "eyeglasses": 10 * 40, "hat": 0, "hair": 5 * 20}
    with pytest.raises(InputError, match="got class 19"):
        from_parsing(np.full((4, 4), 19, np.uint8))
    with pytest.raises(InputError, match="mask without a face"):
        from_parsing(np.zeros((4, 4), np.uint8))


def test_rules_ask_only_for_what_a_label_tells() -> None:
    predicted = np.array([[0, 1, 2]], np.uint8)
    assert Rule.SEEN_OR_HIDDEN.classes_of(predicted).tolist() == [[2, 1, 2]]
    assert Rule.FACE_OR_NOT.classes_of(predicted).tolist() == [[0, 1, 0]]
    assert Rule.OCCLUDER_OR_NOT.classes_of(predicted).tolist() == [[0, 0, 2]]


def test_what_cannot_be_used_is_named(pack: Path) -> None:
    masked = mask_set(Pack(pack), "handdrawn")
    assert len(list(masked.faces())) == 1
    problems = masked.found.problems
    assert sorted(problems) == ["drawn/images/b.png", "drawn/images/c.png"]
    assert "got a mask (50, 160) for a picture (120, 160)" in problems["drawn/images/b.png"].what
    assert "no mask in index.json" in problems["drawn/images/c.png"].what
    with pytest.raises(InputError, match="expected one of handdrawn, celebamask_hq"):
        mask_set(Pack(pack), "elsewhere")
    (pack / "color.png").write_bytes(encoded(np.zeros((4, 4, 3), np.uint8)))
    for bad in ("color.png", "missing.png"):
        with pytest.raises(MediaError, match="expected a picture of classes"):
            read_map(pack / bad)


@pytest.mark.parametrize("items", [[], [{"mask": "masks/a.png", "occluders": [{"kind": "bar"}]}], None])
def test_drawings_that_do_not_fit_are_named(items: list[dict[str, object]] | None, pack: Path) -> None:
    (pack / "drawn/annotations.json").write_text(json.dumps({"items": items}))
    masked = mask_set(Pack(pack), "handdrawn")
    assert not list(masked.faces())
    assert "expected one entry with mask a.png" in masked.found.problems["drawn/images/a.png"].what


def test_automatic_boxes(pack: Path) -> None:
    found, boxes = automatic_boxes(Pack(pack), "rmfd_masked")
    assert {path: box.tolist() for path, box in boxes.items()} == {"masked/e.png": [50, 20, 110, 100]}
    assert "no box_auto" in found.problems["masked/f.png"].what


def test_a_checkpoint_is_scored_where_its_crop_was(pack: Path) -> None:
    face = only(pack, "celebamask_hq")
    torch.manual_seed(0)
    net = SegmentNet(SegmentNetConfig()).eval()
    with torch.no_grad():
        net.head[0].weight.zero_()
        net.head[0].bias.copy_(torch.tensor([0.0] * 4 + [9.0] * 4 + [0.0] * 4))  # all face
    placed = Placed(np.array([60, 40, 100, 80], np.float32), None)
    place = placed.crop(128)
    low, high = ([0, 0] - place[:, 2]) / place[0, 0], ([128, 128] - place[:, 2]) / place[0, 0]
    y, x = np.mgrid[:120, :160] + 0.5
    inside = (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1])
    predicted = transfer.segment(net, face, placed)
    assert 0.1 < inside.mean() < 0.9 and (predicted != inside).mean() < 0.01


def test_the_networks_output_has_the_crops_size() -> None:
    out = SegmentNet(SegmentNetConfig())(torch.rand(2, 3, 64, 96))
    assert out.shape == (2, CLASSES, 64, 96) and out.dtype == torch.float32


def test_the_bar_is_as_wide_as_the_face() -> None:
    _, face, hidden = hidden_face()
    assert face[BAR].any() and (face[BAR[0]] <= hidden[BAR[0]]).all()
