"""One training run: what every trainer does around its own loss."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from rtface.train import common, parallel
from rtface.train.data import ShardStream, batches

Net = TypeVar("Net", bound=nn.Module)
LOG_EVERY = 50
"""Steps between two lines of the log."""
STREAMS_APART = 1_000_003
"""Between the seeds of two processes' streams."""


class Session:
    """Weights, optimiser, average, log and checkpoints of one run; see :mod:`rtface.train.parallel` for several
    processes.

    ``for batch in session.batches(stream): ...; session.update(loss, values)``, then :meth:`export`.
    """

    def __init__(self, options: argparse.Namespace, net: nn.Module, optimizer: Callable[..., torch.optim.Optimizer], *,
                 device: torch.device, config: Any, clip: float, init_prefix: str = "net.",
                 names: Sequence[str] = (), meta: Mapping[str, Any] | None = None,
                 partners: Sequence[Any] = ()) -> None:
        """net is filled from ``--init`` or the last checkpoint (``--resume``); it must be on ``device`` already.

        optimizer: makes one from parameters. clip: largest norm of the gradient. names: logged values that do not occur
        in every step. partners: further players with ``save()`` and ``restore()``, such as a discriminator.
        """
        self.options, self.net, self.device = options, net, device
        self.optimizer, self._clip, self._partners = optimizer(net.parameters()), clip, partners
        self._checkpoint = options.run / "last.pt"
        if options.init:
            common.initialise(net, options.init, prefix=init_prefix)
        parallel.share_weights(net)
        self.ema, self.step = common.Ema(net), 0
        self._phases = common.earlier_phases(options.init)
        if options.resume:
            self.step = common.restore(self._checkpoint, net, self.optimizer, self.ema)
            self._phases = common.resumed_phases(self._checkpoint)
            for partner in partners:
                partner.restore()
        self._meta = {"options": vars(options), "config": common.plain(config),
                      "phases": self._phases, **(meta or {})}
        self._log = common.Log(options.run) if parallel.rank() == 0 else None
        self._names, self._sums, self._counted, self.rate = tuple(names), dict[str, float](), 0, 0.0
        net.train()

    @property
    def seed(self) -> int:
        """For this process' stream of samples; another one after every resumption."""
        return int(self.options.seed) + self.step + STREAMS_APART * parallel.rank()

    def batches(self, stream: ShardStream) -> Iterator[Any]:
        """A batch for every step that is left, with the learning rate set."""
        return self.scheduled(batches(stream, self.options.batch, self.options.workers))

    def scheduled(self, drawn: Iterator[Any]) -> Iterator[Any]:
        """The same for batches from elsewhere."""
        for rate, batch in common.scheduled(drawn, self.optimizer, self.options, self.step):
            self.rate = rate
            yield batch

    def update(self, loss: Tensor, values: Mapping[str, Tensor]) -> None:
        """One step of the optimiser; values are logged beside the loss as means over :data:`LOG_EVERY` steps."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parallel.average_gradients(self.net.parameters())
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self._clip)
        self.optimizer.step()
        self.ema.update(self.net, self.step)
        self.step, self._counted = self.step + 1, self._counted + 1
        for name in (*self._names, "loss", *values):
            self._sums.setdefault(name, 0.0)
        for name, value in {"loss": loss, **values}.items():
            self._sums[name] += float(value.detach())
        last = self.step == self.options.steps
        if self._log is not None and (self.step % LOG_EVERY == 0 or last):
            means = {name: total / self._counted for name, total in self._sums.items()}
            self._log.write(self.step, {"loss": means.pop("loss"), **means, "lr": self.rate})
            self._sums, self._counted = {}, 0
        if self.step % self.options.save_every == 0 or last:
            self.save()

    def save(self) -> None:
        """Everything that the run needs to go on; the old checkpoint stays until the new one is complete."""
        if parallel.rank() == 0:
            common.save_checkpoint(self._checkpoint, step=self.step, module=self.net, optimizer=self.optimizer,
                                   ema=self.ema, meta={**self._meta, "phase": common.phase(self.options, self.step)})
            for partner in self._partners:
                partner.save()

    def export(self, trainer: str, write: Callable[..., Any], config: Any, **more: Any) -> None:
        """Write the averaged weights where ``--export`` says, if it does; ends the run for all processes.

        trainer: its module's name. write: one of :mod:`build_engines.onnx_export`; ``more`` goes there.
        """
        if self.options.export and parallel.rank() == 0:
            write(config, self.ema.state, self.options.export, profile=self.options.profile,
                  training=common.recipe(trainer, self.options, self.step, self._phases), **more)
        parallel.leave()


__all__ = ["Session"]
