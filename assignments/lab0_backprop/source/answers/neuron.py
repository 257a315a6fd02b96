# %% right: half a tanh
def neuron(X, w, b):
    return 0.5 + 0.5 * np.tanh(((X * w).sum(axis=1) + b) / 2)


# %% right: one sample at a time
def neuron(X, w, b):
    import math

    outputs = []
    for x in X:
        z = sum(x_i * w_i for x_i, w_i in zip(x, w, strict=True)) + b
        outputs.append(1 / (1 + math.exp(-z)) if z > -500 else math.exp(z))
    return np.array(outputs)


# %% right: the first form as it stands
def neuron(X, w, b):
    return 1 / (1 + np.exp(-(X @ w + b)))


# %% wrong: no bias
# The bias is missing from the score: add b before the sigmoid.
def neuron(X, w, b):
    return 0.5 + 0.5 * np.tanh(X @ w / 2)


# %% wrong: bias subtracted
# You subtract the bias: a threshold is subtracted, a bias is added.
def neuron(X, w, b):
    return 0.5 + 0.5 * np.tanh((X @ w - b) / 2)


# %% wrong: bias after the sigmoid
# You add the bias after the sigmoid: it belongs to the score that goes into it.
def neuron(X, w, b):
    return 0.5 + 0.5 * np.tanh(X @ w / 2) + b


# %% wrong: no activation
# You return the score itself: the sigmoid is still to be applied to it.
def neuron(X, w, b):
    return X @ w + b


# %% wrong: sign of the exponent
# Your output falls as the score rises: check the sign in the exponent of the sigmoid.
def neuron(X, w, b):
    return 0.5 - 0.5 * np.tanh((X @ w + b) / 2)


# %% wrong: threshold instead of sigmoid
# You return a hard 0 or 1, as a McCulloch-Pitts neuron does: this one has a sigmoid.
def neuron(X, w, b):
    return (X @ w + b >= 0).astype(float)


# %% wrong: tanh instead of sigmoid
# Your outputs reach down to -1, which is tanh: the sigmoid stays between 0 and 1.
def neuron(X, w, b):
    return np.tanh(X @ w + b)


# %% wrong: infinity over infinity
# Large scores give infinity over infinity: the other form gives 1 over infinity at worst.
def neuron(X, w, b):
    z = X @ w + b
    return np.exp(z) / (1 + np.exp(z))


# %% wrong: clipped scores
# You clip the scores so narrowly that it shows in the output: use a form that needs no clipping.
def neuron(X, w, b):
    return 0.5 + 0.5 * np.tanh(np.clip(X @ w + b, -10, 10) / 2)


# %% wrong: outputs in a column
# You return a column of shape (B, 1): the outputs have one axis, (B,).
def neuron(X, w, b):
    return 0.5 + 0.5 * np.tanh((X @ w[:, None] + b) / 2)
