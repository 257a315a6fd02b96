# %% right: recursion
def mlp_forward(layers, X):
    (W, b), above = layers[0], layers[1:]
    Z = X @ W + b
    if not above:
        return Z, [(X, None)]
    scores, rest = mlp_forward(above, np.tanh(Z))
    return scores, [(X, Z), *rest]


def mlp_backward(layers, G, cache):
    pairs = [None] * len(layers)
    for number in range(len(layers) - 1, -1, -1):
        X, Z = cache[number]
        if Z is not None:
            G = (G @ layers[number + 1][0].T) / np.cosh(Z) ** 2
        pairs[number] = [np.einsum("ni,nj->ij", X, G), np.ones((1, len(G))) @ G]
    return pairs


# %% right: forward mode
def mlp_forward(layers, X):
    scores = X
    for number, (W, b) in enumerate(layers):
        scores = (np.tanh(scores) if number > 0 else scores) @ W + b
    return scores, X


def mlp_backward(layers, G, cache):
    pairs = []
    for number in range(len(layers)):
        pair = []
        for place in range(2):
            p = layers[number][place]
            gradient = np.zeros(p.shape)
            for index in np.ndindex(p.shape):
                tried = [[W.astype(complex), b.astype(complex)] for W, b in layers]
                tried[number][place][index] += 1e-30j
                gradient[index] = (mlp_forward(tried, cache)[0].imag * G).sum() / 1e-30
            pair.append(gradient)
        pairs.append(pair)
    return pairs


# %% wrong: tanh after the last layer
# You apply tanh to the scores as well: the last layer has no activation.
def mlp_forward(layers, X):
    outputs = [X]
    for W, b in layers:
        outputs.append(np.tanh(outputs[-1] @ W + b))
    return outputs[-1], outputs[:-1]


def mlp_backward(layers, G, cache):
    gradients = []
    for (W, _), A in zip(layers[::-1], cache[::-1], strict=True):
        gradients.insert(0, (A.T @ G, G.sum(axis=0, keepdims=True)))
        G = (G @ W.T) * (1 - A**2)
    return gradients


# %% wrong: no tanh at all
# There is no tanh between your layers: without it the whole network is one linear map.
def mlp_forward(layers, X):
    inputs = [X]
    for W, b in layers:
        inputs.append(inputs[-1] @ W + b)
    return inputs.pop(), inputs


def mlp_backward(layers, G, cache):
    gradients = []
    for (W, _), A in zip(layers[::-1], cache[::-1], strict=True):
        gradients.insert(0, (A.T @ G, G.sum(axis=0, keepdims=True)))
        G = G @ W.T
    return gradients


# %% wrong: no bias
# The biases are missing from your forward pass: each layer adds its b.
def mlp_forward(layers, X):
    inputs = [X]
    for W, _ in layers[:-1]:
        inputs.append(np.tanh(inputs[-1] @ W))
    return inputs[-1] @ layers[-1][0], inputs


def mlp_backward(layers, G, cache):
    gradients = []
    for (W, _), A in zip(layers[::-1], cache[::-1], strict=True):
        gradients.insert(0, (A.T @ G, G.sum(axis=0, keepdims=True)))
        G = (G @ W.T) * (1 - A**2)
    return gradients


# %% wrong: slope missing
# On the way back the slope of tanh is missing: what comes through W is the gradient of A, not of Z.
def mlp_backward(layers, G, cache):
    gradients = []
    for (W, _), A in zip(layers[::-1], cache[::-1], strict=True):
        gradients.insert(0, (A.T @ G, G.sum(axis=0, keepdims=True)))
        G = G @ W.T
    return gradients


# %% wrong: slope taken at the output
# You take the slope of tanh at the output of tanh: it belongs at the score that went in.
def mlp_backward(layers, G, cache):
    gradients = []
    for (W, _), A in zip(layers[::-1], cache[::-1], strict=True):
        gradients.insert(0, (A.T @ G, G.sum(axis=0, keepdims=True)))
        G = (G @ W.T) * (1 - np.tanh(A) ** 2)
    return gradients


# %% wrong: slope of the sigmoid
# A (1 - A) is the slope of the sigmoid: the hidden units here are tanh units.
def mlp_backward(layers, G, cache):
    gradients = []
    for (W, _), A in zip(layers[::-1], cache[::-1], strict=True):
        gradients.insert(0, (A.T @ G, G.sum(axis=0, keepdims=True)))
        G = (G @ W.T) * A * (1 - A)
    return gradients


# %% wrong: slope at the scores
# You multiply G by a slope of tanh at the scores: the last layer has none, start from G itself.
def mlp_forward(layers, X):
    inputs = [X]
    for W, b in layers[:-1]:
        inputs.append(np.tanh(inputs[-1] @ W + b))
    scores = inputs[-1] @ layers[-1][0] + layers[-1][1]
    return scores, [*inputs, np.tanh(scores)]


def mlp_backward(layers, G, cache):
    gradients, G = [], G * (1 - cache[-1] ** 2)
    for (W, _), A in zip(layers[::-1], cache[-2::-1], strict=True):
        gradients.insert(0, (A.T @ G, G.sum(axis=0, keepdims=True)))
        G = (G @ W.T) * (1 - A**2)
    return gradients


# %% wrong: last layer first
# Your list runs from the last layer to the first: turn it round.
def mlp_backward(layers, G, cache):
    gradients = []
    for (W, _), A in zip(layers[::-1], cache[::-1], strict=True):
        gradients.append((A.T @ G, G.sum(axis=0, keepdims=True)))
        G = (G @ W.T) * (1 - A**2)
    return gradients


# %% wrong: averaged again
# You divide the gradients by the batch size: any 1/B is in G already.
def mlp_backward(layers, G, cache):
    gradients = []
    for (W, _), A in zip(layers[::-1], cache[::-1], strict=True):
        gradients.insert(0, (A.T @ G / len(G), G.mean(axis=0, keepdims=True)))
        G = (G @ W.T) * (1 - A**2)
    return gradients


# %% wrong: bias gradients not summed
# Your gradients of the biases have a row for each sample: the samples share b, so they add up.
def mlp_backward(layers, G, cache):
    gradients = []
    for (W, _), A in zip(layers[::-1], cache[::-1], strict=True):
        gradients.insert(0, (A.T @ G, G))
        G = (G @ W.T) * (1 - A**2)
    return gradients


# %% wrong: bias gradients lost an axis
# Your gradients of the biases have shape (n_out,): a gradient has the shape of its thing, here
# (1, n_out).
def mlp_backward(layers, G, cache):
    gradients = []
    for (W, _), A in zip(layers[::-1], cache[::-1], strict=True):
        gradients.insert(0, (A.T @ G, G.sum(axis=0)))
        G = (G @ W.T) * (1 - A**2)
    return gradients


# %% wrong: scores instead of outputs for the weights
# The weights of a layer met the tanh of the scores below: use A, not Z, for their gradient.
def mlp_forward(layers, X):
    inputs, scores = [X], [X]
    for W, b in layers[:-1]:
        scores.append(inputs[-1] @ W + b)
        inputs.append(np.tanh(scores[-1]))
    return inputs[-1] @ layers[-1][0] + layers[-1][1], scores


def mlp_backward(layers, G, cache):
    gradients = []
    for (W, _), Z in zip(layers[::-1], cache[::-1], strict=True):
        gradients.insert(0, (Z.T @ G, G.sum(axis=0, keepdims=True)))
        G = (G @ W.T) * (1 - np.tanh(Z) ** 2)
    return gradients


# %% wrong: bias added to the gradient
# You send the bias back together with the weights: G passes through the weights only.
def mlp_backward(layers, G, cache):
    gradients = []
    for (W, b), A in zip(layers[::-1], cache[::-1], strict=True):
        gradients.insert(0, (A.T @ G, G.sum(axis=0, keepdims=True)))
        G = ((G + b) @ W.T) * (1 - A**2)
    return gradients


# %% wrong: G not passed down
# Every layer works with the G of the last one: each hands its own on to the layer below.
def mlp_backward(layers, G, cache):
    return [(A.T @ G, G.sum(axis=0, keepdims=True)) for A in cache]
