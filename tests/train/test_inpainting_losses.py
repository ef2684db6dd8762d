"""Losses of the completion networks on cases worked by hand."""

import math

import pytest
import torch

from rtface.losses import inpainting as ip


def test_the_discriminators_loss_is_that_of_the_paper():
    real, fake = torch.tensor([2.0]), torch.tensor([-1.0])
    want = -(math.log(1 / (1 + math.exp(-2))) + math.log(1 - 1 / (1 + math.exp(1))))
    assert float(ip.adversarial_discriminator(real, fake)) == pytest.approx(want, rel=1e-6)
    assert float(ip.adversarial_generator(fake)) == pytest.approx(-math.log(1 / (1 + math.exp(1))), rel=1e-6)


def test_patches_that_show_nothing_drawn_are_no_fakes():
    real, fake = torch.full((1, 1, 2, 2), 2.0), torch.tensor([[[[-1.0, 5.0], [5.0, 3.0]]]])
    hole = torch.zeros(1, 1, 8, 8)
    hole[..., :4, :4] = 1
    hole[..., 4:, 4:6] = 1  # half of the last patch
    hole[..., 4:, :1] = 1  # a quarter of the third
    alone = fake[0, 0, [0, 1], [0, 1]]
    for losses in (lambda f, h: ip.adversarial_discriminator(real, f, h), ip.adversarial_generator):
        assert float(losses(fake, hole)) == pytest.approx(float(losses(alone, None)), rel=1e-6)
        assert float(losses(fake, torch.ones_like(hole))) == pytest.approx(float(losses(fake, None)), rel=1e-6)
    assert float(ip.adversarial_generator(fake, torch.zeros_like(hole))) == 0


def test_hole_l1_counts_hidden_pixels_alone():
    drawn, truth = torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    drawn[..., 0, 0] = 0.25
    mask = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    assert float(ip.hole_l1(drawn, truth, mask)) == pytest.approx((0.25 + 1) / 2)
    assert float(ip.hole_l1(drawn, truth, torch.zeros(1, 1, 2, 2))) == 0


def test_style_forgets_where_things_are():
    torch.manual_seed(0)
    features = torch.rand(2, 4, 3, 5)
    moved = features.flatten(2)[..., torch.randperm(15)].reshape(2, 4, 3, 5)
    assert float(ip.style([features], [moved])) == pytest.approx(0, abs=1e-7)
    assert float(ip.perceptual([features], [moved])) > 0.1
    one = torch.tensor([[[[1.0, 2.0]], [[0.0, 1.0]]]])  # two maps of two places
    want = torch.tensor([[5.0, 2.0], [2.0, 1.0]]) / 4
    torch.testing.assert_close(ip.gram(one)[0], want)
    assert float(ip.style([one], [torch.zeros_like(one)])) == pytest.approx(float(want.mean()))


def test_feature_matching_adds_layers_and_leaves_the_real_ones_alone():
    real = [torch.zeros(1, 2, requires_grad=True), torch.zeros(1, 4, requires_grad=True)]
    fake = [torch.tensor([[1.0, 3.0]], requires_grad=True), torch.full((1, 4), 0.5, requires_grad=True)]
    loss = ip.feature_matching(real, fake)
    assert float(loss.detach()) == pytest.approx(2.5)
    loss.backward()
    assert real[0].grad is None and fake[0].grad is not None


def test_total_variation_by_hand():
    picture = torch.tensor([[[[0.0, 1.0], [0.0, 3.0]]]])
    assert float(ip.total_variation(picture)) == pytest.approx((1 + 3) / 2 + (0 + 2) / 2)
