"""The consensus loss on cases worked by hand, its gradient, and pseudo-labels."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from rtface.errors import InputError
from rtface.losses.consensus import blob_cross_entropy, consensus_loss
from rtface.train.pseudo_labels import factorise
from rtface.train.segment import number_blobs


def one_pixel_blobs(n, h, w):
    return torch.arange(h * w).reshape(1, h, w).expand(n, h, w).contiguous()


def test_with_blobs_of_one_pixel_both_losses_are_the_cross_entropy():
    torch.manual_seed(0)
    logits, truth = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    blobs = one_pixel_blobs(2, 4, 5)
    want = F.cross_entropy(logits, truth)
    torch.testing.assert_close(consensus_loss(logits, truth, blobs, alpha=1.0, beta=5.0), want)
    torch.testing.assert_close(blob_cross_entropy(logits, truth, blobs), want)


def test_two_pixels_of_one_blob_by_hand():
    p = torch.tensor([[0.9, 0.1], [0.5, 0.5]])  # two pixels, two classes
    logits = p.log().T.reshape(1, 2, 1, 2)
    truth, blobs = torch.zeros(1, 1, 2, dtype=torch.long), torch.zeros(1, 1, 2, dtype=torch.long)
    mean = (0.7, 0.3)
    divergence = [sum(m * math.log(m / q) for m, q in zip(mean, pixel, strict=True)) for pixel in p.tolist()]
    want = 10 * -math.log(0.7) + 5 / 2 * sum(divergence)
    assert float(consensus_loss(logits, truth, blobs)) == pytest.approx(want, rel=1e-5)
    assert float(blob_cross_entropy(logits, truth, blobs)) == pytest.approx(-(math.log(0.9) + math.log(0.5)) / 2,
                                                                           rel=1e-5)


def test_every_blob_counts_the_same_whatever_its_size():
    """A large blob that is right and one wrong pixel: half the loss is the pixel's."""
    logits = torch.zeros(1, 2, 3, 3)
    logits[:, 0] = 8.0  # class 0 everywhere
    truth = torch.zeros(1, 3, 3, dtype=torch.long)
    truth[0, 1, 1] = 1
    right, wrong = -math.log(torch.sigmoid(torch.tensor(8.0))), -math.log(torch.sigmoid(torch.tensor(-8.0)))
    got = consensus_loss(logits, truth, truth.clone(), alpha=1.0)
    assert float(got) == pytest.approx((right + wrong) / 2, rel=1e-4)


def test_pictures_with_fewer_blobs_weigh_as_much_as_others():
    torch.manual_seed(1)
    logits, truth = torch.randn(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.long)
    truth[1, :2], truth[1, 3, 3] = 1, 2
    blobs = truth.clone()  # one blob in the first picture, three in the second
    together = consensus_loss(logits, truth, blobs)
    apart = [consensus_loss(logits[i:i + 1], truth[i:i + 1], blobs[i:i + 1]) for i in range(2)]
    torch.testing.assert_close(together, sum(apart) / 2)


def test_disagreement_costs_even_where_the_mean_is_the_same():
    even = torch.tensor([0.7, 0.7]).logit()
    odd = torch.tensor([0.95, 0.45]).logit()
    truth = blobs = torch.zeros(1, 1, 2, dtype=torch.long)
    losses = [float(consensus_loss(torch.stack([x, torch.zeros(2)]).reshape(1, 2, 1, 2), truth, blobs))
              for x in (even, odd)]
    assert losses[0] < losses[1]


def test_gradient():
    torch.manual_seed(2)
    logits = torch.randn(2, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    truth = torch.randint(0, 3, (2, 3, 4))
    blobs = torch.from_numpy(np.stack([number_blobs(t.numpy().astype(np.uint8)) for t in truth])).long()
    assert torch.autograd.gradcheck(lambda x: consensus_loss(x, truth, blobs), (logits,))


def test_blobs_are_numbered_by_class_and_connection():
    mask = np.array([[0, 0, 2], [1, 0, 2], [1, 1, 0], [0, 1, 1]], np.uint8)
    got = number_blobs(mask)
    assert len(np.unique(got)) == 4 and got.min() == 0 and got.max() == 3  # 8 neighbours join both pieces of class 1
    assert got[1, 0] == got[2, 0] == got[3, 1] and got[0, 0] == got[1, 1] == got[2, 2] and got[0, 2] == got[1, 2]
    assert got[3, 0] != got[0, 0]  # cut off by the face
    crumbs = number_blobs(mask, least=2 / 12)  # of one pixel: this piece of the background belongs to the large one
    assert len(np.unique(crumbs)) == 3 and crumbs[3, 0] == crumbs[0, 0] and crumbs[1, 0] == crumbs[3, 1]
    assert len(np.unique(number_blobs(mask, least=1.0))) == 3  # one blob per class at least


def test_pseudo_labels_split_occluders_and_drop_slivers():
    hull, visible = np.zeros((500, 500), bool), np.zeros((500, 500), bool)
    hull[50:450, 50:450] = True
    visible[50:450, 50:450] = True
    visible[100:200, 100:220] = False
    visible[300:400, 250:400] = False
    visible[210:220, 60:440] = False  # a thin line: no occluder
    labels = factorise(hull, visible)
    assert sorted(np.unique(labels)) == [0, 1, 2, 3] and (labels[~hull] == 0).all()
    assert labels[150, 160] == 2 and labels[350, 320] == 3 and labels[215, 250] in (0, 1)
    rows, columns = np.nonzero(labels == 2)
    assert np.ptp(rows) + 1 == 100 - 2 * 6 + 44 and np.ptp(columns) + 1 == 120 - 2 * 24 + 44
    with pytest.raises(InputError, match="factorise: got a hull"):
        factorise(hull, visible[:10])
