"""The trainings that a pack must equal: torch's optimizers one by one, and a loop in float64 numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss
from torch.optim.lr_scheduler import LambdaLR

from rewa.data.resident import ResidentSplit
from rewa.methods import GradientMethod, get_method
from rewa.optim import X_FLOOR
from rewa.packed import PackedTrial
from rewa.schedules import warmup_cosine


@dataclass(frozen=True)
class Case:
    """A data set with a start and a recipe."""

    inputs: NDArray[np.float32]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: float
    epochs: int = 30
    batch_size: int = 7
    seed: int = 3
    warmup: float = 0.1
    loss: str = "squared"


def case(n: int = 40, d: int = 37, loss: str = "squared", **recipe: int) -> Case:
    """Random data with a sparse truth; 40 = 5 * 7 + 5, so the last batch is a partial one."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((n, d)).astype(np.float32)
    truth = np.zeros(d)
    truth[:4] = [1.0, -1.5, 0.8, -0.6]
    targets = inputs @ truth + 0.3 + 0.1 * rng.standard_normal(n)
    if loss == "logistic":
        targets = targets > 0
    weights = (0.3 * rng.standard_normal(d)).astype(np.float32)
    return Case(inputs, targets.astype(np.float32), weights, 0.1, loss=loss, **recipe)


def by_torch(c: Case, trial: PackedTrial) -> tuple[NDArray[np.float32], float, list[float]]:
    """Train ``nn.Linear`` as ``rewa.training.fit`` does: weights, bias, loss of every epoch."""
    model = nn.Linear(c.inputs.shape[1], 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(c.weights)[None])
        model.bias.fill_(c.bias)
    names = {
        "rewa": ("K", "M", "epsilon", "weight_decay"),
        "spred": ("weight_decay",),
        "sgd_l1": ("l1",),
    }[trial.method]
    values = {name: getattr(trial, name) for name in ("lr", "momentum", *names)}
    method = get_method(trial.method).from_values(values)
    assert isinstance(method, GradientMethod)
    optimizer = method.prepare(model)
    split = ResidentSplit(torch.tensor(c.inputs), torch.tensor(c.targets))
    total = c.epochs * -(-len(split) // c.batch_size)
    scheduler = LambdaLR(optimizer, lambda step: warmup_cosine(step, total, c.warmup))
    order = torch.Generator().manual_seed(c.seed)
    criterion = mse_loss if c.loss == "squared" else binary_cross_entropy_with_logits
    losses = []
    for _ in range(c.epochs):
        batches = []
        for inputs, targets in split.batches(c.batch_size, order):
            optimizer.zero_grad()
            loss = criterion(model(inputs).squeeze(1), targets)
            loss.backward()
            optimizer.step()
            scheduler.step()
            batches.append(float(loss.detach()))
        losses.append(float(np.mean(batches)))
    dense = method.dense_copy(model)
    assert isinstance(dense, nn.Linear)
    return dense.weight.detach().numpy()[0], float(dense.bias.detach()), losses


def by_hand(c: Case, t: PackedTrial) -> tuple[NDArray[np.float64], float]:
    """Train in float64 from the equations: weights and bias."""
    x, target = c.inputs.astype(float), c.targets.astype(float)
    depth = 2 if t.method == "spred" else t.K
    y = np.sign(c.weights) * np.abs(c.weights.astype(float)) ** (1 / depth)
    v = np.abs(y)
    my, mv, b, mb = np.zeros_like(y), np.zeros_like(y), c.bias, 0.0
    order = torch.Generator().manual_seed(c.seed)
    total, step = c.epochs * -(-len(x) // c.batch_size), 0

    def weights() -> NDArray[np.float64]:
        w = y * v if t.method == "spred" else np.sign(y) * np.abs(y) ** t.K
        return np.where(np.abs(w) <= X_FLOOR, 0.0, w)

    for _ in range(c.epochs):
        shuffled = torch.randperm(len(x), generator=order).numpy()
        for low in range(0, len(x), c.batch_size):
            index = shuffled[low : low + c.batch_size]
            z = x[index] @ weights() + b
            if c.loss == "squared":
                r = 2 * (z - target[index]) / len(index)
            else:
                r = (1 / (1 + np.exp(-z)) - target[index]) / len(index)
            g, lr = r @ x[index], t.lr * warmup_cosine(step, total, c.warmup)
            step += 1
            mb = t.momentum * mb + r.sum()
            b -= lr * mb
            if t.method == "spred":
                gy, gv = g * v + t.weight_decay * y, g * y + t.weight_decay * v
                mv = t.momentum * mv + gv
                v = v - lr * mv
            elif t.method == "sgd_l1":
                gy = g + t.l1 * np.sign(y)
            else:
                power = np.abs(y) ** (t.K - 1)
                ratio = power / (power + t.epsilon) if t.epsilon else 1.0
                gy = ratio * np.abs(y) ** t.M * g + t.weight_decay * y
            my = t.momentum * my + gy
            y = y - lr * my
    return weights(), float(b)
