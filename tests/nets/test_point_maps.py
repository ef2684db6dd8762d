"""Heat maps: where their mass lies, and a loss that is nothing only for the map that the point asks for."""

import pytest
import torch

from rtface.nets.point_maps import SPREAD_CELLS, PointMaps, map_loss, mean_positions


def gaussian(points: torch.Tensor, side: int, cell: float) -> torch.Tensor:
    """Logits (N, P, side, side) of Gaussians around px points."""
    centres = (torch.arange(side) + 0.5) * cell
    x = ((centres - points[..., :1]) / (cell * SPREAD_CELLS)) ** 2
    y = ((centres - points[..., 1:]) / (cell * SPREAD_CELLS)) ** 2
    return -0.5 * (y[..., :, None] + x[..., None, :])


def test_positions_are_read_between_cells() -> None:
    points = torch.tensor([[[20.0, 41.3], [64.7, 90.1]]])
    torch.testing.assert_close(mean_positions(gaussian(points, 32, 4.0), 128), points, atol=0.02, rtol=0)
    one = torch.full((1, 1, 32, 32), -50.0)
    one[0, 0, 3, 7] = 50.0
    torch.testing.assert_close(mean_positions(one, 128), torch.tensor([[[30.0, 14.0]]]))
    torch.testing.assert_close(mean_positions(torch.zeros(1, 1, 16, 16), 128), torch.full((1, 1, 2), 64.0))


def test_loss_is_nothing_for_the_right_map_and_grows_with_the_distance() -> None:
    points, weights = torch.tensor([[[60.0, 50.0]]]), torch.ones(1, 1)
    losses = [float(map_loss(gaussian(points + shift, 32, 4.0), points, weights, 128)) for shift in (0, 4, 8)]
    assert losses == [pytest.approx(0, abs=1e-4), pytest.approx(1.0, abs=0.02), pytest.approx(4.0, abs=0.05)]


def test_points_outside_and_without_weight_do_not_count() -> None:
    points = torch.tensor([[[60.0, 50.0], [130.0, 50.0], [10.0, 10.0]]])
    logits = gaussian(torch.tensor([[[60.0, 50.0], [5.0, 5.0], [90.0, 90.0]]]), 32, 4.0)
    weights = torch.tensor([[1.0, 1.0, 0.0]])
    assert float(map_loss(logits, points, weights, 128)) == pytest.approx(0, abs=1e-4)
    assert float(map_loss(logits, points, torch.zeros(1, 3), 128)) == 0


def test_gradients_move_the_mass_to_the_point() -> None:
    logits = torch.zeros(1, 1, 8, 8, requires_grad=True)
    map_loss(logits, torch.tensor([[[6.0, 2.0]]]), torch.ones(1, 1), 8).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0].argmin() == 1 * 8 + 5 or logits.grad[0, 0, 1:3, 5:7].max() < 0


def test_maps_have_the_side_of_the_finest_features() -> None:
    net = PointMaps((4, 6, 8), 5, 16)
    levels = [torch.rand(2, c, s, s) for c, s in ((4, 16), (6, 8), (8, 4))]
    assert net(levels).shape == (2, 5, 16, 16)
