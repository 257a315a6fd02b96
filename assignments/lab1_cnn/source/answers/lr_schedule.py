# %% right: torch's schedulers
def lr_schedule(num_steps, lr, warmup_steps, lr_min):
    from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR

    rates = []
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr)
    if warmup_steps:
        scheduler = LinearLR(optimizer, 1 / warmup_steps, 1, max(warmup_steps - 1, 1))
        for _ in range(warmup_steps):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr)
    scheduler = CosineAnnealingLR(optimizer, num_steps - warmup_steps - 1, lr_min)
    while len(rates) < num_steps:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


# %% right: tensors and a squared cosine
def lr_schedule(num_steps, lr, warmup_steps, lr_min):
    rising = torch.arange(1, warmup_steps + 1, dtype=torch.float64) * lr / max(warmup_steps, 1)
    angle = torch.linspace(0, math.pi, num_steps - warmup_steps, dtype=torch.float64)
    high = torch.cos(angle / 2) ** 2
    return torch.cat([rising, high * lr + (1 - high) * lr_min]).tolist()


# %% wrong: warm-up begins at zero
# Your warm-up begins at 0, so the first step does nothing: it begins one rise above 0 and ends at
# `lr`.
def lr_schedule(num_steps, lr, warmup_steps, lr_min):
    rates = []
    for step in range(num_steps):
        if step < warmup_steps:
            rates.append(lr * step / warmup_steps)
        else:
            progress = (step - warmup_steps) / (num_steps - warmup_steps - 1)
            rates.append(lr_min + 0.5 * (lr - lr_min) * (1 + math.cos(math.pi * progress)))
    return rates


# %% wrong: warm-up ends too early
# The last rate of your warm-up is still below `lr`: count the rises from 0 to the last step of the
# warm-up.
def lr_schedule(num_steps, lr, warmup_steps, lr_min):
    rates = []
    for step in range(num_steps):
        if step < warmup_steps:
            rates.append(lr * (step + 1) / (warmup_steps + 1))
        else:
            progress = (step - warmup_steps) / (num_steps - warmup_steps - 1)
            rates.append(lr_min + 0.5 * (lr - lr_min) * (1 + math.cos(math.pi * progress)))
    return rates


# %% wrong: warm-up from lr_min
# Your warm-up starts from `lr_min`: it rises from 0 in equal steps, and `lr_min` is for the end.
def lr_schedule(num_steps, lr, warmup_steps, lr_min):
    rates = []
    for step in range(num_steps):
        if step < warmup_steps:
            rates.append(lr_min + (lr - lr_min) * step / warmup_steps)
        else:
            progress = (step - warmup_steps) / (num_steps - warmup_steps - 1)
            rates.append(lr_min + 0.5 * (lr - lr_min) * (1 + math.cos(math.pi * progress)))
    return rates


# %% wrong: no warm-up
# There is no warm-up: the first `warmup_steps` rates have to rise.
def lr_schedule(num_steps, lr, warmup_steps, lr_min):
    rates = []
    for step in range(num_steps):
        if step < warmup_steps:
            rates.append(lr)
        else:
            progress = (step - warmup_steps) / (num_steps - warmup_steps - 1)
            rates.append(lr_min + 0.5 * (lr - lr_min) * (1 + math.cos(math.pi * progress)))
    return rates


# %% wrong: cosine ends above lr_min
# Your last rate is above `lr_min`: how many intervals lie between the first and the last rate of
# the wave?
def lr_schedule(num_steps, lr, warmup_steps, lr_min):
    rates = []
    for step in range(num_steps):
        if step < warmup_steps:
            rates.append(lr * (step + 1) / warmup_steps)
        else:
            progress = (step - warmup_steps) / (num_steps - warmup_steps)
            rates.append(lr_min + 0.5 * (lr - lr_min) * (1 + math.cos(math.pi * progress)))
    return rates


# %% wrong: cosine counts from the first step
# Your cosine counts from the first step of training: it starts with `lr` after the warm-up.
def lr_schedule(num_steps, lr, warmup_steps, lr_min):
    rates = []
    for step in range(num_steps):
        if step < warmup_steps:
            rates.append(lr * (step + 1) / warmup_steps)
        else:
            progress = step / (num_steps - 1)
            rates.append(lr_min + 0.5 * (lr - lr_min) * (1 + math.cos(math.pi * progress)))
    return rates


# %% wrong: cosine ends at zero
# Your wave ends at 0: it ends at `lr_min`.
def lr_schedule(num_steps, lr, warmup_steps, lr_min):
    rates = []
    for step in range(num_steps):
        if step < warmup_steps:
            rates.append(lr * (step + 1) / warmup_steps)
        else:
            progress = (step - warmup_steps) / (num_steps - warmup_steps - 1)
            rates.append(0.5 * lr * (1 + math.cos(math.pi * progress)))
    return rates


# %% wrong: lr_min added to the whole wave
# Your wave is lifted by `lr_min` as a whole, so it starts above `lr`: only its range may change.
def lr_schedule(num_steps, lr, warmup_steps, lr_min):
    rates = []
    for step in range(num_steps):
        if step < warmup_steps:
            rates.append(lr * (step + 1) / warmup_steps)
        else:
            progress = (step - warmup_steps) / (num_steps - warmup_steps - 1)
            rates.append(lr_min + 0.5 * lr * (1 + math.cos(math.pi * progress)))
    return rates


# %% wrong: a whole wave
# Your wave comes up again: half of it, from its top to its bottom, is asked for.
def lr_schedule(num_steps, lr, warmup_steps, lr_min):
    rates = []
    for step in range(num_steps):
        if step < warmup_steps:
            rates.append(lr * (step + 1) / warmup_steps)
        else:
            progress = (step - warmup_steps) / (num_steps - warmup_steps - 1)
            rates.append(lr_min + 0.5 * (lr - lr_min) * (1 + math.cos(2 * math.pi * progress)))
    return rates


# %% wrong: a quarter wave
# You use a quarter of a wave, which falls fastest at its end: half a wave is flat at both ends.
def lr_schedule(num_steps, lr, warmup_steps, lr_min):
    rates = []
    for step in range(num_steps):
        if step < warmup_steps:
            rates.append(lr * (step + 1) / warmup_steps)
        else:
            progress = (step - warmup_steps) / (num_steps - warmup_steps - 1)
            rates.append(lr_min + (lr - lr_min) * math.cos(math.pi / 2 * progress))
    return rates


# %% wrong: linear decay
# That is a linear decay: half a cosine wave is asked for.
def lr_schedule(num_steps, lr, warmup_steps, lr_min):
    rates = []
    for step in range(num_steps):
        if step < warmup_steps:
            rates.append(lr * (step + 1) / warmup_steps)
        else:
            progress = (step - warmup_steps) / (num_steps - warmup_steps - 1)
            rates.append(lr_min + (lr - lr_min) * (1 - progress))
    return rates


# %% wrong: one rate too many
# Your list has more than `num_steps` rates: one for each step.
def lr_schedule(num_steps, lr, warmup_steps, lr_min):
    rates = []
    for step in range(num_steps + 1):
        if step < warmup_steps:
            rates.append(lr * (step + 1) / warmup_steps)
        else:
            progress = (step - warmup_steps) / (num_steps - warmup_steps - 1)
            rates.append(lr_min + 0.5 * (lr - lr_min) * (1 + math.cos(math.pi * progress)))
    return rates


# %% wrong: warm-up from zero to lr
# Your warm-up goes from 0 to `lr` and so has one rise too few: none of its rates is 0, the first is
# one rise.
def lr_schedule(num_steps, lr, warmup_steps, lr_min):
    rates = []
    for step in range(num_steps):
        if step < warmup_steps:
            rates.append(lr * step / (warmup_steps - 1))
        else:
            progress = (step - warmup_steps) / (num_steps - warmup_steps - 1)
            rates.append(lr_min + 0.5 * (lr - lr_min) * (1 + math.cos(math.pi * progress)))
    return rates


# %% wrong: cosine one step ahead
# Your cosine is one step ahead: the first rate of the wave is `lr` itself, the last is `lr_min`.
def lr_schedule(num_steps, lr, warmup_steps, lr_min):
    rates = []
    for step in range(num_steps):
        if step < warmup_steps:
            rates.append(lr * (step + 1) / warmup_steps)
        else:
            progress = (step - warmup_steps + 1) / (num_steps - warmup_steps)
            rates.append(lr_min + 0.5 * (lr - lr_min) * (1 + math.cos(math.pi * progress)))
    return rates
