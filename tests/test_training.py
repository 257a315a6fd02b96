"""`fit` does what the hand-written loop does, and stops where it must."""

import pytest
import torch
from torch import nn

from course_utils.training import DivergedError, accuracy, evaluate, fit, minibatches


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(57, 3, generator=generator, dtype=torch.float64)
    y = X @ torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)
    return X, y


def linear(lr=0.05):
    model = nn.Linear(3, 1, dtype=torch.float64)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.zero_()
    return model, torch.optim.SGD(model.parameters(), lr=lr)


def test_minibatches_yield_every_sample_once(problem):
    X, y = problem
    batches = list(minibatches(X, y, 10, torch.Generator().manual_seed(1)))
    assert [len(x) for x, _ in batches] == [10] * 5 + [7]
    together = torch.cat([x for x, _ in batches])
    assert not torch.equal(together, X)
    torch.testing.assert_close(together.sort(dim=0).values, X.sort(dim=0).values)


@pytest.mark.parametrize(
    ("length", "batch_size", "message"),
    [(56, 10, "57 samples and y has 56"), (57, 0, "at least 1")],
)
def test_minibatches_refuse_nonsense(problem, length, batch_size, message):
    X, y = problem
    with pytest.raises(ValueError, match=message):
        next(minibatches(X, y[:length], batch_size, torch.Generator()))


def test_fit_follows_the_hand_written_loop(problem):
    X, y = problem
    model, optimizer = linear()
    history = fit(
        model,
        optimizer,
        nn.functional.mse_loss,
        (X, y),
        num_epochs=3,
        batch_size=8,
        generator=torch.Generator().manual_seed(2),
        progress=False,
    )
    by_hand, optimizer = linear()
    generator = torch.Generator().manual_seed(2)
    losses = []
    for _ in range(3):
        for x, target in minibatches(X, y, 8, generator):
            loss = nn.functional.mse_loss(by_hand(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert history.step_loss == losses
    torch.testing.assert_close(model.weight, by_hand.weight, rtol=0, atol=0)
    sizes = [8] * 7 + [1]
    first = sum(n * loss for n, loss in zip(sizes, losses[:8], strict=True)) / 57
    assert history.train_loss[0] == pytest.approx(first, rel=1e-12)


def test_two_runs_are_the_same(problem):
    runs = []
    for _ in range(2):
        model, optimizer = linear()
        history = fit(
            model,
            optimizer,
            nn.functional.mse_loss,
            problem,
            num_epochs=2,
            batch_size=16,
            generator=torch.Generator().manual_seed(3),
            progress=False,
        )
        runs.append(history.step_loss)
    assert runs[0] == runs[1]


def test_early_stopping_goes_back_to_the_best_weights(problem):
    X, y = problem
    model, optimizer = linear(lr=0.2)
    # Validation targets from another rule: the fit to `train` soon makes them worse.
    val = (X, y * 0.3)
    history = fit(
        model,
        optimizer,
        nn.functional.mse_loss,
        (X, y),
        num_epochs=50,
        batch_size=57,
        generator=torch.Generator().manual_seed(0),
        val=val,
        patience=3,
        progress=False,
    )
    assert history.stopped_early
    assert len(history.val_loss) == history.best_epoch + 4
    best = min(history.val_loss)
    assert history.val_loss[history.best_epoch] == best
    assert evaluate(model, nn.functional.mse_loss, *val)[0] == best


def test_metrics_and_scheduler(problem):
    X, y = problem
    labels = (y[:, 0] > 0).long()
    model = nn.Linear(3, 2, dtype=torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.9)
    history = fit(
        model,
        optimizer,
        nn.functional.cross_entropy,
        (X, labels),
        num_epochs=4,
        batch_size=57,
        generator=torch.Generator().manual_seed(0),
        metrics={"accuracy": accuracy},
        scheduler=scheduler,
        progress=False,
    )
    assert len(history.metrics["accuracy"]) == 4
    assert 0 <= history.metrics["accuracy"][-1] <= 1
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 * 0.9**4)


def test_evaluate_leaves_the_mode_alone(problem):
    model = nn.Sequential(nn.Linear(3, 1, dtype=torch.float64), nn.Dropout(0.9))
    model.train()
    first, _ = evaluate(model, nn.functional.mse_loss, *problem)
    second, _ = evaluate(model, nn.functional.mse_loss, *problem)
    assert first == second
    assert model.training


def test_a_diverging_loss_stops_with_the_step_and_a_remedy(problem):
    model, optimizer = linear(lr=1e6)
    with pytest.raises(DivergedError, match=r"at step \d+; .*learning rate below 1e\+06"):
        fit(
            model,
            optimizer,
            nn.functional.mse_loss,
            problem,
            num_epochs=100,
            batch_size=57,
            generator=torch.Generator().manual_seed(0),
            progress=False,
        )
    # The message must come before the weights are spoilt by a NaN gradient.
    assert not torch.isnan(model.weight).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"num_epochs": 0}, "at least 1"), ({"num_epochs": 1, "patience": 2}, "validation data")],
)
def test_fit_refuses_nonsense(problem, arguments, message):
    model, optimizer = linear()
    with pytest.raises(ValueError, match=message):
        fit(
            model,
            optimizer,
            nn.functional.mse_loss,
            problem,
            batch_size=8,
            generator=torch.Generator(),
            progress=False,
            **arguments,
        )
