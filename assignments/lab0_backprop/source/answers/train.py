# %% right: shuffled copies, cut in pieces
def train(params, X, y, gradient, lr, num_epochs, batch_size, rng):
    params = [p.copy() for p in params]
    for _ in range(num_epochs):
        order = rng.permutation(len(X))
        X_order, y_order = X[order], y[order]
        cuts = range(batch_size, len(X), batch_size)
        for X_batch, y_batch in zip(np.split(X_order, cuts), np.split(y_order, cuts), strict=True):
            for p, g in zip(params, gradient(params, X_batch, y_batch), strict=True):
                p -= lr * g
    return params


# %% right: a list of all batches first
def train(params, X, y, gradient, lr, num_epochs, batch_size, rng):
    batches = []
    for _ in range(num_epochs):
        left = list(rng.permutation(len(X)))
        while left:
            batches.append(left[:batch_size])
            left = left[batch_size:]
    for batch in batches:
        change = gradient(params, X[batch], y[batch])
        params = tuple(p - lr * g for p, g in zip(params, change, strict=True))
    return params


# %% wrong: samples never shuffled
# You go through the samples as they lie: draw a new order at the start of each epoch.
def train(params, X, y, gradient, lr, num_epochs, batch_size, rng):
    for _ in range(num_epochs):
        for start in range(0, len(X), batch_size):
            stop = start + batch_size
            gradients = gradient(params, X[start:stop], y[start:stop])
            params = [p - lr * g for p, g in zip(params, gradients, strict=True)]
    return params


# %% wrong: one order for all epochs
# You draw the order once for all epochs: each epoch draws its own.
def train(params, X, y, gradient, lr, num_epochs, batch_size, rng):
    order = rng.permutation(len(X))
    for _ in range(num_epochs):
        for start in range(0, len(X), batch_size):
            index = order[start : start + batch_size]
            gradients = gradient(params, X[index], y[index])
            params = [p - lr * g for p, g in zip(params, gradients, strict=True)]
    return params


# %% wrong: a new order for each batch
# You draw a new order for each batch, so some samples come twice and others never: once an epoch.
def train(params, X, y, gradient, lr, num_epochs, batch_size, rng):
    for _ in range(num_epochs):
        for start in range(0, len(X), batch_size):
            index = rng.permutation(len(X))[start : start + batch_size]
            gradients = gradient(params, X[index], y[index])
            params = [p - lr * g for p, g in zip(params, gradients, strict=True)]
    return params


# %% wrong: last batch left out
# The last, smaller batch is left out: every sample is used once in an epoch.
def train(params, X, y, gradient, lr, num_epochs, batch_size, rng):
    for _ in range(num_epochs):
        order = rng.permutation(len(X))
        for number in range(len(X) // batch_size):
            index = order[number * batch_size : (number + 1) * batch_size]
            gradients = gradient(params, X[index], y[index])
            params = [p - lr * g for p, g in zip(params, gradients, strict=True)]
    return params


# %% wrong: targets not shuffled
# You shuffle the samples but not their targets: the same index goes to both.
def train(params, X, y, gradient, lr, num_epochs, batch_size, rng):
    for _ in range(num_epochs):
        order = rng.permutation(len(X))
        for start in range(0, len(X), batch_size):
            stop = start + batch_size
            gradients = gradient(params, X[order[start:stop]], y[start:stop])
            params = [p - lr * g for p, g in zip(params, gradients, strict=True)]
    return params


# %% wrong: gradients pile up
# Gradients of earlier batches are still in the step: start each batch from a fresh gradient.
def train(params, X, y, gradient, lr, num_epochs, batch_size, rng):
    total = [np.zeros(p.shape) for p in params]
    for _ in range(num_epochs):
        order = rng.permutation(len(X))
        for start in range(0, len(X), batch_size):
            index = order[start : start + batch_size]
            total = [
                t + g for t, g in zip(total, gradient(params, X[index], y[index]), strict=True)
            ]
            params = [p - lr * t for p, t in zip(params, total, strict=True)]
    return params


# %% wrong: one step an epoch
# You add the gradients of an epoch up and step once at its end: step after each batch.
def train(params, X, y, gradient, lr, num_epochs, batch_size, rng):
    for _ in range(num_epochs):
        order = rng.permutation(len(X))
        total = [np.zeros(p.shape) for p in params]
        for start in range(0, len(X), batch_size):
            index = order[start : start + batch_size]
            total = [
                t + g for t, g in zip(total, gradient(params, X[index], y[index]), strict=True)
            ]
        params = [p - lr * t for p, t in zip(params, total, strict=True)]
    return params


# %% wrong: uphill
# Your steps go uphill: subtract lr times the gradient.
def train(params, X, y, gradient, lr, num_epochs, batch_size, rng):
    for _ in range(num_epochs):
        order = rng.permutation(len(X))
        for start in range(0, len(X), batch_size):
            index = order[start : start + batch_size]
            gradients = gradient(params, X[index], y[index])
            params = [p + lr * g for p, g in zip(params, gradients, strict=True)]
    return params


# %% wrong: gradient at the start only
# Every gradient is taken at the starting parameters: take it where the last step has led.
def train(params, X, y, gradient, lr, num_epochs, batch_size, rng):
    moved = params
    for _ in range(num_epochs):
        order = rng.permutation(len(X))
        for start in range(0, len(X), batch_size):
            index = order[start : start + batch_size]
            gradients = gradient(params, X[index], y[index])
            moved = [p - lr * g for p, g in zip(moved, gradients, strict=True)]
    return moved


# %% wrong: stops after one epoch
# You return after the first epoch: the return stands inside the loop over epochs.
def train(params, X, y, gradient, lr, num_epochs, batch_size, rng):
    for _ in range(num_epochs):
        order = rng.permutation(len(X))
        for start in range(0, len(X), batch_size):
            index = order[start : start + batch_size]
            gradients = gradient(params, X[index], y[index])
            params = [p - lr * g for p, g in zip(params, gradients, strict=True)]
        return params


# %% wrong: divided by the batch size again
# You divide the step by the batch size: the gradient is that of a mean already.
def train(params, X, y, gradient, lr, num_epochs, batch_size, rng):
    for _ in range(num_epochs):
        order = rng.permutation(len(X))
        for start in range(0, len(X), batch_size):
            index = order[start : start + batch_size]
            gradients = gradient(params, X[index], y[index])
            params = [p - lr / len(index) * g for p, g in zip(params, gradients, strict=True)]
    return params


# %% wrong: whole data set in every step
# Every step uses all samples: hand the gradient only those of the batch.
def train(params, X, y, gradient, lr, num_epochs, batch_size, rng):
    for _ in range(num_epochs):
        for _ in range(0, len(X), batch_size):
            gradients = gradient(params, X, y)
            params = [p - lr * g for p, g in zip(params, gradients, strict=True)]
    return params


# %% wrong: changes the caller's parameters
# Your code changes its input; work on a copy.
def train(params, X, y, gradient, lr, num_epochs, batch_size, rng):
    for _ in range(num_epochs):
        order = rng.permutation(len(X))
        for start in range(0, len(X), batch_size):
            index = order[start : start + batch_size]
            for p, g in zip(params, gradient(params, X[index], y[index]), strict=True):
                p -= lr * g
    return params
