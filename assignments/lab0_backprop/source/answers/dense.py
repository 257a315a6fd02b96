# %% right: sums written out
def dense_forward(X, W, b):
    return np.einsum("ni,ij->nj", X, W) + b, {"X": X, "W": W}


def dense_backward(G, cache):
    dX = np.einsum("nj,ij->ni", G, cache["W"])
    dW = np.einsum("ni,nj->ij", cache["X"], G)
    return dX, dW, np.ones((1, len(G))) @ G


# %% right: bias as one more weight
def dense_forward(X, W, b):
    X1 = np.column_stack([X, np.ones(len(X))])
    W1 = np.vstack([W, b])
    return X1 @ W1, (X1, W1)


def dense_backward(G, cache):
    X1, W1 = cache
    dW1 = sum(np.outer(x, g) for x, g in zip(X1, G, strict=True))
    return [(W1 @ G.T).T[:, :-1], dW1[:-1], dW1[-1:]]


# %% wrong: no bias
# The bias is missing from the forward pass: add b to every row.
def dense_forward(X, W, b):
    return X @ W, (X, W)


def dense_backward(G, cache):
    X, W = cache
    return G @ W.T, X.T @ G, G.sum(axis=0, keepdims=True)


# %% wrong: activation inside
# Your forward pass applies an activation: a dense layer alone has none.
def dense_forward(X, W, b):
    return np.tanh(X @ W + b), (X, W)


def dense_backward(G, cache):
    X, W = cache
    return G @ W.T, X.T @ G, G.sum(axis=0, keepdims=True)


# %% wrong: bias gradient not summed
# Your gradient of b has a row for each sample: all samples share b, so their rows add up.
def dense_backward(G, cache):
    X, W = cache
    return G @ W.T, X.T @ G, G


# %% wrong: bias gradient averaged
# You average the gradient of b over the batch: any 1/B is in G already, so the samples add up.
def dense_backward(G, cache):
    X, W = cache
    return G @ W.T, X.T @ G, G.mean(axis=0, keepdims=True)


# %% wrong: bias gradient lost an axis
# Your gradient of b has shape (n_out,): a gradient has the shape of its thing, here (1, n_out).
def dense_backward(G, cache):
    X, W = cache
    return G @ W.T, X.T @ G, G.sum(axis=0)


# %% wrong: bias gradient over the outputs
# You sum the gradient of b over the outputs: it is summed over the samples.
def dense_backward(G, cache):
    X, W = cache
    return G @ W.T, X.T @ G, G.sum(axis=1, keepdims=True)


# %% wrong: weight gradient averaged
# You divide the gradient of W by the batch size: any 1/B is in G already, so the samples add up.
def dense_backward(G, cache):
    X, W = cache
    return G @ W.T, X.T @ G / len(X), G.sum(axis=0, keepdims=True)


# %% wrong: weight gradient transposed
# Your gradient of W is transposed: its rows belong to the inputs, as those of W do.
def dense_backward(G, cache):
    X, W = cache
    return G @ W.T, G.T @ X, G.sum(axis=0, keepdims=True)


# %% wrong: input gradient transposed
# Your gradient of X is transposed: its rows are samples, as those of X are.
def dense_backward(G, cache):
    X, W = cache
    return W @ G.T, X.T @ G, G.sum(axis=0, keepdims=True)


# %% wrong: input gradient averaged
# You divide the gradient of X by the batch size: any 1/B is in G already.
def dense_backward(G, cache):
    X, W = cache
    return G @ W.T / len(X), X.T @ G, G.sum(axis=0, keepdims=True)


# %% wrong: input gradient summed over the batch
# You sum the gradient of X over the samples: each sample has inputs, and a gradient, of its own.
def dense_backward(G, cache):
    X, W = cache
    return (G @ W.T).sum(axis=0, keepdims=True), X.T @ G, G.sum(axis=0, keepdims=True)


# %% wrong: weights not transposed
# Your code raises ValueError.
def dense_backward(G, cache):
    X, W = cache
    return G @ W, X.T @ G, G.sum(axis=0, keepdims=True)
