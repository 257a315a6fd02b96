"""The training loop of the course, short enough to read in one screen.

Notebook ``01_perceptron_backprop`` writes this loop by hand; `fit` is the same
loop with a history, metrics, early stopping and a progress bar.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

__all__ = ["DivergedError", "History", "Metric", "accuracy", "evaluate", "fit", "minibatches"]

Metric = Callable[[Tensor, Tensor], Tensor | float]


class DivergedError(ArithmeticError):
    """The loss became NaN or infinite."""


@dataclass
class History:
    """What a training run recorded.

    Attributes
    ----------
    step_loss
        Loss of every minibatch, in the unit of the loss (nats for cross-entropy).
    train_loss, val_loss
        Mean loss per epoch; ``val_loss`` stays empty without validation data.
    metrics
        Name -> validation metric per epoch (on training data without validation data).
    best_epoch
        Epoch, counted from 0, whose weights the model holds after `fit`.
    stopped_early
        True when patience ran out before ``num_epochs``.
    """

    step_loss: list[float] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0
    stopped_early: bool = False


def accuracy(logits: Tensor, y: Tensor) -> float:
    """Return the fraction of rows whose largest logit is at the target class."""
    return (logits.argmax(dim=-1) == y).double().mean().item()


def minibatches(
    X: Tensor, y: Tensor, batch_size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the data once, in shuffled minibatches; the last may be smaller.

    Raises
    ------
    ValueError
        If ``X`` and ``y`` differ in length or ``batch_size`` is not positive.
    """
    if len(X) != len(y):
        raise ValueError(f"X has {len(X)} samples and y has {len(y)}; they must agree")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
    order = torch.randperm(len(X), generator=generator).to(X.device)
    for index in order.split(batch_size):
        yield X[index], y[index]


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    X: Tensor,
    y: Tensor,
    metrics: Mapping[str, Metric] | None = None,
) -> tuple[float, dict[str, float]]:
    """Return the loss and the metrics on all of ``X``, in inference mode."""
    was_training = model.training
    model.eval()
    y_hat = model(X)
    values = {name: float(metric(y_hat, y)) for name, metric in (metrics or {}).items()}
    loss = float(loss_fn(y_hat, y))
    model.train(was_training)
    return loss, values


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    train: tuple[Tensor, Tensor],
    *,
    num_epochs: int,
    batch_size: int,
    generator: torch.Generator,
    val: tuple[Tensor, Tensor] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    patience: int | None = None,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> History:
    """Train a model by minibatches and return what happened.

    Parameters
    ----------
    loss_fn
        Maps (prediction, target) to the mean loss of the minibatch.
    train, val
        Inputs and targets. They are moved to ``device`` whole.
    generator
        Source of the shuffling (a CPU generator), so that a run can be repeated.
    metrics
        Name -> function of (prediction, target), computed after each epoch.
    patience
        Stop after this many epochs without a lower validation loss, and go back
        to the best weights. Needs ``val``.
    scheduler
        Stepped after every minibatch.

    Raises
    ------
    DivergedError
        If the loss becomes NaN or infinite; says at which step.
    ValueError
        If an argument makes no sense.
    """
    if num_epochs < 1:
        raise ValueError(f"num_epochs is {num_epochs}; it must be at least 1")
    if patience is not None and val is None:
        raise ValueError("patience needs validation data; pass val=(X_val, y_val)")
    if device is not None:
        model.to(device)
        train = tuple(part.to(device) for part in train)
        val = val and tuple(part.to(device) for part in val)
    history = History(metrics={name: [] for name in metrics or {}})
    best_weights = None

    for epoch in tqdm(range(num_epochs), desc="epochs", leave=False, disable=not progress):
        model.train()
        total = 0.0
        for x, y in minibatches(*train, batch_size, generator):
            loss = loss_fn(model(x), y)
            _stop_if_diverged(loss, len(history.step_loss), optimizer)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            history.step_loss.append(loss.item())
            total += loss.item() * len(x)
        history.train_loss.append(total / len(train[0]))

        _record_epoch(history, model, loss_fn, train, val, metrics)
        if patience is None:
            history.best_epoch = epoch
        elif history.val_loss[-1] == min(history.val_loss):
            history.best_epoch = epoch
            best_weights = copy.deepcopy(model.state_dict())
        elif epoch - history.best_epoch >= patience:
            history.stopped_early = True
            break

    if best_weights is not None:
        model.load_state_dict(best_weights)
    return history


def _record_epoch(history, model, loss_fn, train, val, metrics) -> None:
    """Add validation loss and metrics; the metrics are of ``train`` without ``val``."""
    if val is None and not metrics:
        return
    loss, values = evaluate(model, loss_fn, *(val or train), metrics)
    if val is not None:
        history.val_loss.append(loss)
    for name, value in values.items():
        history.metrics[name].append(value)


def _stop_if_diverged(loss: Tensor, step: int, optimizer: torch.optim.Optimizer) -> None:
    if math.isfinite(loss.item()):
        return
    lr = optimizer.param_groups[0]["lr"]
    raise DivergedError(
        f"the loss is {loss.item()} at step {step}; the weights are of no use any more. "
        f"Try a learning rate below {lr:g} (a tenth is a good next guess), clip the gradient, "
        "or look for inputs that are not finite or not normalised."
    )
