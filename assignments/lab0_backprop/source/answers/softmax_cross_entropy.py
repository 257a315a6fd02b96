# %% right: logarithm of the sum of exponentials
def softmax_cross_entropy(Z, y):
    B, K = Z.shape
    T = np.eye(K)[y]
    highest = Z.max(axis=1)
    log_sum = highest + np.log(np.exp(Z - highest[:, None]).sum(axis=1))
    loss = np.mean(log_sum - (T * Z).sum(axis=1))
    return loss, (np.exp(Z - log_sum[:, None]) - T) / B


# %% right: one sample at a time
def softmax_cross_entropy(Z, y):
    loss, G = 0.0, []
    for z, true_class in zip(Z, y, strict=True):
        log_sum = np.logaddexp.reduce(z)
        loss += log_sum - z[true_class]
        g = np.exp(z - log_sum)
        g[true_class] -= 1
        G.append(g / len(Z))
    return loss / len(Z), np.array(G)


# %% wrong: sum instead of mean
# Your loss is a sum over the batch: it is the mean over the samples.
def softmax_cross_entropy(Z, y):
    rows = np.arange(len(Z))
    log_probs = Z - np.logaddexp.reduce(Z, axis=1, keepdims=True)
    G = np.exp(log_probs)
    G[rows, y] -= 1
    return -log_probs[rows, y].sum(), G / len(Z)


# %% wrong: mean over all entries
# Your loss is a mean over all B K entries: each sample has one true class, so divide by B.
def softmax_cross_entropy(Z, y):
    T = np.eye(Z.shape[1])[y]
    log_probs = Z - np.logaddexp.reduce(Z, axis=1, keepdims=True)
    return -(T * log_probs).mean(), (np.exp(log_probs) - T) / len(Z)


# %% wrong: gradient without 1/B
# Your gradient lacks a factor: the loss is a mean, so each sample has a share of 1/B in it.
def softmax_cross_entropy(Z, y):
    rows = np.arange(len(Z))
    log_probs = Z - np.logaddexp.reduce(Z, axis=1, keepdims=True)
    G = np.exp(log_probs)
    G[rows, y] -= 1
    return -log_probs[rows, y].mean(), G


# %% wrong: gradient divided by all entries
# Your gradient is divided by B K, all entries of Z: the loss is a mean over the B samples only.
def softmax_cross_entropy(Z, y):
    rows = np.arange(len(Z))
    log_probs = Z - np.logaddexp.reduce(Z, axis=1, keepdims=True)
    G = np.exp(log_probs)
    G[rows, y] -= 1
    return -log_probs[rows, y].mean(), G / Z.size


# %% wrong: delta instead of gradient
# Your gradient has the wrong sign: target minus probability is the delta, which is the gradient
# with its sign turned.
def softmax_cross_entropy(Z, y):
    rows = np.arange(len(Z))
    log_probs = Z - np.logaddexp.reduce(Z, axis=1, keepdims=True)
    G = -np.exp(log_probs)
    G[rows, y] += 1
    return -log_probs[rows, y].mean(), G / len(Z)


# %% wrong: nothing times the logarithm of nothing
# Your loss is NaN for large scores, from 0 times log 0 or an overflow in exp: write log P without
# the fraction.
def softmax_cross_entropy(Z, y):
    T = np.eye(Z.shape[1])[y]
    exponentials = np.exp(Z - Z.max(axis=1, keepdims=True))
    P = exponentials / exponentials.sum(axis=1, keepdims=True)
    return -(T * np.log(P)).sum(axis=1).mean(), (P - T) / len(Z)


# %% wrong: no largest score subtracted
# Large scores overflow in exp: take each row's largest score away before exponentiating.
def softmax_cross_entropy(Z, y):
    rows = np.arange(len(Z))
    P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    loss = -np.log(P[rows, y]).mean()
    P[rows, y] -= 1
    return loss, P / len(Z)


# %% wrong: logarithm of a vanished probability
# You take the logarithm of a probability that has become 0: write log P without the fraction.
def softmax_cross_entropy(Z, y):
    rows = np.arange(len(Z))
    exponentials = np.exp(Z - Z.max(axis=1, keepdims=True))
    P = exponentials / exponentials.sum(axis=1, keepdims=True)
    loss = -np.log(P[rows, y]).mean()
    P[rows, y] -= 1
    return loss, P / len(Z)


# %% wrong: small number added inside the logarithm
# A small number inside the logarithm caps the loss: a score 1000 below the best costs 1000 nats.
def softmax_cross_entropy(Z, y):
    rows = np.arange(len(Z))
    P = np.exp(Z - np.logaddexp.reduce(Z, axis=1, keepdims=True))
    loss = -np.log(P[rows, y] + 1e-12).mean()
    P[rows, y] -= 1
    return loss, P / len(Z)


# %% wrong: one largest score for the whole batch
# You subtract the largest score of the batch, and rows far below it vanish: take each row's own.
def softmax_cross_entropy(Z, y):
    rows = np.arange(len(Z))
    shifted = Z - Z.max()
    exponentials = np.exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    loss = -(shifted[rows, y] - np.log(sums[:, 0])).mean()
    P = exponentials / sums
    P[rows, y] -= 1
    return loss, P / len(Z)


# %% wrong: softmax over the batch
# Your probabilities sum to 1 over the samples: softmax runs over the classes of one sample.
def softmax_cross_entropy(Z, y):
    rows = np.arange(len(Z))
    log_probs = Z - np.logaddexp.reduce(Z, axis=0, keepdims=True)
    G = np.exp(log_probs)
    G[rows, y] -= 1
    return -log_probs[rows, y].mean(), G / len(Z)


# %% wrong: softmax over the whole array
# Your probabilities sum to 1 over the whole array: each sample, a row of Z, has a sum of its own.
def softmax_cross_entropy(Z, y):
    rows = np.arange(len(Z))
    log_probs = Z - np.logaddexp.reduce(Z, axis=None)
    G = np.exp(log_probs)
    G[rows, y] -= 1
    return -log_probs[rows, y].mean(), G / len(Z)


# %% wrong: no softmax in the loss
# The loss takes raw scores for log-probabilities: the logarithm of the sum is missing.
def softmax_cross_entropy(Z, y):
    rows = np.arange(len(Z))
    G = np.exp(Z - np.logaddexp.reduce(Z, axis=1, keepdims=True))
    G[rows, y] -= 1
    return -Z[rows, y].mean(), G / len(Z)


# %% wrong: bits instead of nats
# Your loss is in bits, a logarithm to base 2: nats are asked for.
def softmax_cross_entropy(Z, y):
    rows = np.arange(len(Z))
    log_probs = Z - np.logaddexp.reduce(Z, axis=1, keepdims=True)
    G = np.exp(log_probs)
    G[rows, y] -= 1
    return -log_probs[rows, y].mean() / np.log(2), G / len(Z)


# %% wrong: class number instead of one-hot target
# You subtract the class number from every probability: the target is 1 in one column and 0 in all
# others.
def softmax_cross_entropy(Z, y):
    rows = np.arange(len(Z))
    log_probs = Z - np.logaddexp.reduce(Z, axis=1, keepdims=True)
    return -log_probs[rows, y].mean(), (np.exp(log_probs) - y[:, None]) / len(Z)


# %% wrong: shifts the caller's scores
# Your code changes its input; work on a copy.
def softmax_cross_entropy(Z, y):
    rows = np.arange(len(Z))
    Z -= Z.max(axis=1, keepdims=True)
    log_probs = Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))
    G = np.exp(log_probs)
    G[rows, y] -= 1
    return -log_probs[rows, y].mean(), G / len(Z)
